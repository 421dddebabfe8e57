"""Comparison of the weights of two trainings of one trial; a job, because a model's file is read by Keras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.data.array_types import Array
from pipelines.operations.replay.comparison import ItemComparison, Tolerance, compare_arrays
from pipelines.training.trial_folder import MODEL_FILE, USER_MODEL_WEIGHTS_FILE, WEIGHTS_FILE

if TYPE_CHECKING:
    from pipelines.engines.base import Channel


@dataclass(frozen=True)
class WeightsJob:
    """Payload: the folders of two trainings of one trial, and the tolerance between their weights."""

    recorded: str
    now: str
    tolerance: Tolerance


def compare_weights(payload: WeightsJob, channel: Channel) -> ItemComparison:
    """Compare the weights of the best epoch; unknown if one training has none."""
    recorded, now = (_load_weights(Path(folder)) for folder in (payload.recorded, payload.now))
    if recorded is None or now is None:
        note = "those of the trial are not kept" if recorded is None else "the new training has none"
        return ItemComparison("result", "weights", "unknown", note=note)
    tolerance = payload.tolerance
    return compare_arrays("result", "weights", recorded, now, share=tolerance.weight_share, absolute=tolerance.weight)


def _load_weights(folder: Path) -> list[Array] | None:
    """Return the weights of a trial's network, in the order of `get_weights`, from the file that exists."""
    import keras

    from pipelines.training.weight_files import load_weights

    # Weights first: they are plain arrays, and a model has to be built to be loaded.
    for name in (WEIGHTS_FILE, USER_MODEL_WEIGHTS_FILE):
        if (folder / name).exists():
            return load_weights(folder / name)
    if not (folder / MODEL_FILE).exists():
        return None
    deployed: Any = keras.models.load_model(folder / MODEL_FILE)
    # `compose` names it so; the other layers are the preprocessing.
    [network] = [layer for layer in deployed.layers if layer.name.startswith("trained.")]
    weights: list[Array] = network.get_weights()
    return weights
