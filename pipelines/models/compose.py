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
    prepared = preprocessing(inputs)
    prediction = core({taken.name: prepared[taken.name] for taken in core.inputs})
    return keras.Model(inputs, prediction, name="deployed")
