"""Trains a compiled Keras model with `Model.fit`: the trainer that runs any model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import keras
import numpy as np

from pipelines.training.batches import TrainingBatches, row_weights
from pipelines.training.checkpoint import Checkpoints
from pipelines.training.epoch_monitor import Judge
from pipelines.training.keras_state import kept, taken_up
from pipelines.training.messages import Fitted, Listener, Rows, Schedule

VALIDATION_BATCH = 1024


def fit(
    model: keras.Model,
    rows: Rows,
    schedule: Schedule,
    *,
    metric: str,
    direction: Literal["minimize", "maximize"],
    listener: Listener,
    checkpoints: Checkpoints | None = None,
) -> Fitted:
    """Train, from a checkpoint if there is one, and leave the model with the weights of its best epoch.

    Raises:
        TrialError: if the loss or the objective is not finite, or the objective is never reported.
    """
    judge = Judge(schedule, metric, direction, listener)
    batches = TrainingBatches(rows.train, row_weights(rows), schedule.batch_size, schedule.seed)
    done = taken_up(model, judge, checkpoints)
    if done >= schedule.epochs:
        return finished(model, judge)
    model.fit(
        batches,
        initial_epoch=done,
        epochs=schedule.epochs,
        shuffle=False,
        validation_data=(dict(rows.validation.x), rows.validation.y),
        validation_batch_size=max(schedule.batch_size, VALIDATION_BATCH),
        callbacks=[_Epochs(judge, listener, batches, checkpoints)],
        verbose=0,
    )
    return finished(model, judge)


def finished(model: keras.Model, judge: Judge) -> Fitted:
    """Give a model the weights of its best epoch, and return how its training went."""
    fitted, weights = judge.verdict()
    model.set_weights(weights)
    return fitted


class _Epochs(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Passes Keras's epochs to the judge."""

    def __init__(
        self, judge: Judge, listener: Listener, batches: TrainingBatches, checkpoints: Checkpoints | None
    ) -> None:
        super().__init__()
        self._checkpoints = checkpoints
        self._batches = batches
        self._judge = judge
        self._listener = listener

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Set the order of the epoch's batches."""
        self._batches.begin(epoch)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Say that work goes on."""
        self._listener.batch()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Say that work goes on."""
        self._listener.batch()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Let the epoch be judged."""
        metrics = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        self.model.stop_training = self._judge.stops(epoch, metrics, self.model.get_weights)
        if self._checkpoints and not self.model.stop_training:
            self._checkpoints.offer(lambda: kept(self.model, self._judge))
