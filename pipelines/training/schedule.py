"""Schedule of one training: epochs, batch size, early stopping, seed."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import TrialJob

FIT_ARGUMENTS = ("batch_size", "epochs")
"""Arguments that a user model's `fit` gets from the space, where its code does not request them."""

DEFAULT_EPOCHS = 30
DEFAULT_BATCH_SIZE = 32
"""Values for a user model where neither its code nor the space sets them."""


@dataclass(frozen=True)
class Schedule:
    """Length of a training.

    Attributes:
        patience: epochs without an improvement by more than `min_delta` before it stops; None never stops it.
        seed: decides, with the epoch's number, which rows make which batch.
        keeps_last: whether the last epoch counts, whatever its score, instead of the best one.
    """

    epochs: int
    batch_size: int
    patience: int | None
    min_delta: float
    seed: int
    keeps_last: bool = False


def make_schedule(job: TrialJob, fold: int, *, epochs: int, batch_size: int) -> Schedule:
    """Return the schedule of one fold of a trial, from its values of `epochs` and `batch_size`."""
    refits = job.refit_epochs is not None
    stopping = None if refits else job.training.early_stopping
    return Schedule(
        epochs=epochs if job.refit_epochs is None else min(epochs, job.refit_epochs),
        batch_size=batch_size,
        patience=stopping.patience if stopping else None,
        min_delta=stopping.min_delta if stopping else 0.0,
        # Keras seeds NumPy too, which refuses 2^32 and above.
        seed=(job.seed + fold) % 2**32,
        keeps_last=refits,
    )


def is_stopping_requested(training: TrainingSpec) -> bool:
    """Return whether the study file itself requests early stopping, which is on by default."""
    return training.early_stopping is not None and "early_stopping" in training.model_fields_set
