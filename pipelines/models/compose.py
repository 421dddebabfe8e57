"""Joins preprocessing and a trained model into the one model that is deployed."""

from __future__ import annotations

import keras

from pipelines.models.user_model import make_model_input


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


def compose_user_model(preprocessing: keras.Model, core: keras.Model) -> keras.Model:
    """Return one uncompiled model from raw inputs to the prediction of a study's own model.

    Args:
        preprocessing: see `compose`.
        core: a trained model that takes what `make_model_input` gives it.

    Raises:
        ValueError: if the model's inputs are not those, or it was never used.
    """
    if not core.built:
        raise ValueError("its own `fit` never used it")
    inputs = {
        given.name: keras.Input(given.shape[1:], dtype=given.dtype, name=given.name) for given in preprocessing.inputs
    }
    prepared = preprocessing(inputs)
    prediction = _strip_compilation(core, list(prepared))(make_model_input(prepared), training=False)
    return keras.Model(inputs, prediction, name="deployed")


def _strip_compilation(core: keras.Model, names: list[str]) -> keras.Model:
    """Return the same layers without their compilation; a model that is no graph of layers stays as it is."""
    if not getattr(core, "inputs", None) or not getattr(core, "outputs", None):
        return core
    if len(names) == 1:
        return keras.Model(core.inputs[0], core.outputs[0], name=f"trained.{core.name}")
    by_name = {taken.name: taken for taken in core.inputs}
    if set(by_name) != set(names):
        raise ValueError(f"the model takes {', '.join(sorted(by_name))}, the data gives {', '.join(names)}")
    return keras.Model(by_name, core.outputs[0], name=f"trained.{core.name}")
