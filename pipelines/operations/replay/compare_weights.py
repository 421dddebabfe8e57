"""Compares the weights that two trainings of one trial left; a job, since reading a model's file takes Keras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.operations.replay.comparison import Array, ItemComparison, Tolerance, compare_arrays
from pipelines.training.trial_folder import MODEL_FILE, USER_MODEL_WEIGHTS_FILE, WEIGHTS_FILE

if TYPE_CHECKING:
    from pipelines.engines.base import Channel


@dataclass(frozen=True)
class WeightsJob:
    """The folders of two trainings of one trial, and how close their weights may come by rounding."""

    recorded: str
    now: str
    close: Tolerance


def compare_weights(payload: WeightsJob, channel: Channel) -> ItemComparison:
    """Compare the weights of the best epoch; unknown where one training left none."""
    recorded, now = (_load_weights(Path(folder)) for folder in (payload.recorded, payload.now))
    if recorded is None or now is None:
        note = "the trial's own are not kept" if recorded is None else "training again left none"
        return ItemComparison("result", "weights", "unknown", note=note)
    close = payload.close
    return compare_arrays("result", "weights", recorded, now, share=close.weight_share, absolute=close.weight)


def _load_weights(folder: Path) -> list[Array] | None:
    """Return what `get_weights` of a trial's network gives, from whichever file is there."""
    import keras

    from pipelines.training.model_files import load_weights

    for name in (WEIGHTS_FILE, USER_MODEL_WEIGHTS_FILE):
        if (folder / name).exists():
            return load_weights(folder / name)
    if not (folder / MODEL_FILE).exists():
        return None
    deployed: Any = keras.models.load_model(folder / MODEL_FILE)
    [network] = [layer for layer in deployed.layers if layer.name.startswith("trained.")]
    weights: list[Array] = network.get_weights()
    return weights
