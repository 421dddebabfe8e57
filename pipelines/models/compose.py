"""The deployed model: preprocessing and a trained model, joined into one."""

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
    # The file of a compiled model would hold our loss classes, and could not be loaded without kerastudy.
    # The dot in the name prevents a clash with a raw input that has the model's name.
    # A model of several heads has a dict of outputs, whose keys are their names in every file.
    outputs = core.output if isinstance(core.output, dict) else core.outputs[0]
    bare = keras.Model({taken.name: taken for taken in core.inputs}, outputs, name=f"trained.{core.name}")
    prepared = preprocessing(inputs)
    # Without `training`, Keras's augmentation layers run as in training.
    prediction = bare({taken.name: prepared[taken.name] for taken in core.inputs}, training=False)
    return keras.Model(inputs, prediction, name="deployed")


def compose_user_model(preprocessing: keras.Model, core: keras.Model) -> keras.Model:
    """Return one uncompiled model from raw inputs to the prediction of a user model.

    Args:
        preprocessing: see `compose`.
        core: a trained model whose input is what `make_model_input` returns.

    Raises:
        ValueError: if the model's inputs are not those, or it was never used.
    """
    if not core.built:
        raise ValueError("the `fit` of the user model never called the model")
    inputs = {
        given.name: keras.Input(given.shape[1:], dtype=given.dtype, name=given.name) for given in preprocessing.inputs
    }
    prepared = preprocessing(inputs)
    prediction = _strip_compilation(core, list(prepared))(make_model_input(prepared), training=False)
    return keras.Model(inputs, prediction, name="deployed")


def _strip_compilation(core: keras.Model, names: list[str]) -> keras.Model:
    """Return the same layers uncompiled; a model that is no graph of layers is returned unchanged."""
    if not getattr(core, "inputs", None) or not getattr(core, "outputs", None):
        return core
    # A `Sequential` model has one output, and no structure of outputs before it is called as a layer.
    outputs = core.outputs[0] if isinstance(core, keras.Sequential) else core.output
    if len(names) == 1:
        return keras.Model(core.inputs[0], outputs, name=f"trained.{core.name}")
    # A user model may name its inputs in any order.
    by_name = {taken.name: taken for taken in core.inputs}
    if set(by_name) != set(names):
        raise ValueError(f"the model takes {', '.join(sorted(by_name))}, the data gives {', '.join(names)}")
    return keras.Model(by_name, outputs, name=f"trained.{core.name}")
