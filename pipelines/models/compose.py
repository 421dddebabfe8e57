"""Joins preprocessing and a trained model into the one model that is deployed."""

from __future__ import annotations

import keras


def compose(preprocessing: keras.Model, core: keras.Model) -> keras.Model:
    """Return one uncompiled model from raw inputs to the prediction.

    Args:
        preprocessing: takes a dict of raw inputs and returns a dict whose keys are the inputs of `core`.
        core: a trained model of a family.
    """
    inputs = {
        given.name: keras.Input(given.shape[1:], dtype=given.dtype, name=given.name) for given in preprocessing.inputs
    }
    # The same layers without the compilation, which a file would otherwise carry, our loss classes included.
    # A dot keeps its name apart from raw inputs, one of which may be called like the model.
    bare = keras.Model({taken.name: taken for taken in core.inputs}, core.outputs[0], name=f"trained.{core.name}")
    prepared = preprocessing(inputs)
    # Keras's augmentation layers take a call that says nothing of training to be training.
    prediction = bare({taken.name: prepared[taken.name] for taken in core.inputs}, training=False)
    return keras.Model(inputs, prediction, name="deployed")
