"""A trial's model, loaded for the export: whole, and split into its preprocessing and its network."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from pipelines.data.prepared_folder import load_part
from pipelines.export.base import SourceModel
from pipelines.models.user_model import make_model_input

_CALIBRATION_ROWS = 500  # LiteRT's guide advises 100 to 500


def load_source_model(file: Path, data: Path, fold: int) -> SourceModel:
    """Return the model in `file`, and training rows of the fold that it was trained on.

    Args:
        file: a model that `compose` or `compose_user_model` made.
        data: the folder of its prepared data.
        fold: the fold whose training rows it saw.
    """
    model = keras.models.load_model(file)
    preprocessing, core = (layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer))
    train = load_part(data, "train", fold)
    # A fixed seed, so that an export gives the same files again.
    chosen = np.random.default_rng(0).permutation(train.rows)[:_CALIBRATION_ROWS]
    return SourceModel(
        model=model,
        preprocessing=preprocessing,
        network=_build_named_network(preprocessing, core),
        file=file,
        calibration={name: np.asarray(values[np.sort(chosen)]) for name, values in train.x.items()},
    )


def _build_named_network(preprocessing: keras.Model, core: keras.Model) -> keras.Model:
    """Return the network with inputs of the same names as the outputs of its preprocessing."""
    inputs = {
        name: keras.Input(made.shape[1:], dtype=made.dtype, name=name) for name, made in preprocessing.output.items()
    }
    given = (
        {taken.name: inputs[taken.name] for taken in core.inputs}
        if _has_named_inputs(core, inputs)
        else make_model_input(inputs)
    )
    # `training=False`: the exported graph must not hold dropout.
    return keras.Model(inputs, core(given, training=False), name="network")


def _has_named_inputs(core: keras.Model, inputs: dict[str, object]) -> bool:
    taken = getattr(core, "inputs", None) or ()
    # Private to Keras, which has no public way to see whether a model takes a mapping.
    return isinstance(getattr(core, "_inputs_struct", None), dict) and {each.name for each in taken} <= set(inputs)
