"""Training of a compiled Keras model with `Model.fit`: the trainer that runs any model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pipelines.data.examples.picture_rows import widen
from pipelines.data.examples.structures import map_leaves
from pipelines.training.batches import Rows, TrainingBatches, compute_row_weights
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, EpochMonitor, FitResult
from pipelines.training.keras_state import offer_checkpoint, restore
from pipelines.training.schedule import Schedule
from pipelines.training.streamed_batches import OrderedBatches, StreamedBatches
from search_spaces.values import Direction

VALIDATION_BATCH = 1024  # rows; no gradients are stored, so it can be larger than in training


def train_with_fit(
    model: keras.Model,
    rows: Rows,
    schedule: Schedule,
    *,
    metric: str,
    direction: Direction,
    listener: EpochListener,
    checkpoints: CheckpointStore | None = None,
) -> FitResult:
    """Train, from a checkpoint if there is one, and leave the model with the weights of its best epoch.

    Raises:
        TrialError: if the loss or the objective is not finite, or the objective is never reported.
    """
    monitor = EpochMonitor(schedule, metric, direction, listener)
    batches = _make_batches(rows, schedule)
    done = restore(model, monitor, checkpoints)
    if done >= schedule.epochs:  # the earlier attempt was killed after its last epoch
        return finish_training(model, monitor)
    model.fit(
        batches,
        initial_epoch=done,
        epochs=schedule.epochs,
        shuffle=False,  # the batches are shuffled already; Keras would change their order once more
        validation_data=_make_validation(rows, max(schedule.batch_size, VALIDATION_BATCH)),
        validation_batch_size=None if rows.streaming else max(schedule.batch_size, VALIDATION_BATCH),
        callbacks=[_EpochCallback(monitor, listener, batches, checkpoints)],
        verbose=0,
    )
    return finish_training(model, monitor)


def _make_batches(rows: Rows, schedule: Schedule) -> TrainingBatches | StreamedBatches:
    if rows.streaming is None:
        return TrainingBatches(rows.train, compute_row_weights(rows), schedule.batch_size, schedule.seed)
    shuffle, folder = rows.streaming.shuffle, rows.streaming.folder
    return StreamedBatches(rows.train, rows.class_weight, schedule.batch_size, schedule.seed, shuffle, folder)


def _make_validation(rows: Rows, batch_size: int) -> tuple[Any, ...] | OrderedBatches:
    if rows.streaming is not None:
        # Of arrays, Keras would make tensors of all rows.
        return OrderedBatches(rows.validation, batch_size)
    x, y, weights = map_leaves(widen, rows.validation.x), rows.validation.y, rows.validation.sample_weight
    return (x, y) if weights is None else (x, y, weights)


def finish_training(model: keras.Model, monitor: EpochMonitor) -> FitResult:
    """Set a model to the weights of its best epoch, and return the result of its training."""
    result, weights = monitor.result()
    model.set_weights(weights)
    return result


class _EpochCallback(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Callback that updates the monitor after each epoch."""

    def __init__(
        self,
        monitor: EpochMonitor,
        listener: EpochListener,
        batches: TrainingBatches | StreamedBatches,
        checkpoints: CheckpointStore | None,
    ) -> None:
        super().__init__()
        self._checkpoints = checkpoints
        self._batches = batches
        self._monitor = monitor
        self._listener = listener

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Set the order of the epoch's batches."""
        self._batches.start_epoch(epoch)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Record the batch."""
        self._listener.record_batch()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Record the batch."""
        self._listener.record_batch()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Update the monitor, and stop where it stops."""
        # A metric may be an array, such as one number per class.
        metrics = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        self.model.stop_training = self._monitor.observe(epoch, metrics, self.model.get_weights)
        offer_checkpoint(self._checkpoints, self.model, self._monitor, stops=self.model.stop_training)
