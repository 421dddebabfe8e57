"""Trains a compiled Keras model with `Model.fit`: the trainer that runs any model.

A training is scored by its best epoch, so the weights of that epoch are kept and put back at the end, whether early
stopping is on or not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import keras
import numpy as np

from pipelines.training.trainer import Fitted, Listener, Rows, Schedule, TrialError


def fit(
    model: keras.Model,
    rows: Rows,
    schedule: Schedule,
    *,
    metric: str,
    direction: Literal["minimize", "maximize"],
    listener: Listener,
) -> Fitted:
    """Train and leave the model with the weights of its best epoch.

    Raises:
        TrialError: if the loss or the objective is not finite, or the objective is never reported.
    """
    watch = _Watch(schedule, metric, direction, listener)
    model.fit(
        dict(rows.train.x),
        rows.train.y,
        batch_size=schedule.batch_size,
        epochs=schedule.epochs,
        validation_data=(dict(rows.validation.x), rows.validation.y),
        validation_batch_size=max(schedule.batch_size, 1024),
        class_weight=dict(rows.class_weight) if rows.class_weight else None,
        callbacks=[watch],
        verbose=0,
    )
    if watch.best_weights is None:
        raise TrialError(f"training ended before its first epoch was scored on {metric}")
    model.set_weights(watch.best_weights)
    return Fitted(tuple(watch.history), watch.best_epoch, watch.best_value, watch.pruned)


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Keeps the best epoch, stops in time, and refuses what is not finite."""

    def __init__(
        self, schedule: Schedule, metric: str, direction: Literal["minimize", "maximize"], listener: Listener
    ) -> None:
        super().__init__()
        self._schedule = schedule
        self._metric = metric
        self._sign = 1.0 if direction == "minimize" else -1.0
        self._listener = listener
        self.history: list[Mapping[str, float]] = []
        self.best_epoch = -1
        self.best_value = math.inf * self._sign
        self.best_weights: list[np.ndarray[Any, Any]] | None = None
        self.pruned = False
        self._patience_from = (-1, math.inf * self._sign)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Say that work goes on."""
        self._listener.batch()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Say that work goes on."""
        self._listener.batch()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Score the epoch, keep the best weights, and decide whether to go on."""
        metrics = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        value = self._checked(epoch, metrics)
        self.history.append(metrics)
        if self._sign * value < self._sign * self.best_value:
            self.best_epoch, self.best_value = epoch, value
            self.best_weights = self.model.get_weights()
        self.pruned = self._listener.epoch(epoch, metrics)
        self.model.stop_training = self.pruned or self._out_of_patience(epoch, value)

    def _checked(self, epoch: int, metrics: Mapping[str, float]) -> float:
        if self._metric not in metrics:
            raise TrialError(f"training reported no {self._metric}, only {', '.join(sorted(metrics))}")
        for name in ("loss", "val_loss", self._metric):
            if not math.isfinite(metrics.get(name, 0.0)):
                raise TrialError(f"{name} became {metrics[name]} in epoch {epoch + 1}")
        return metrics[self._metric]

    def _out_of_patience(self, epoch: int, value: float) -> bool:
        since, reference = self._patience_from
        if self._sign * value < self._sign * reference - self._schedule.min_delta:
            self._patience_from = (epoch, value)
            return False
        return self._schedule.patience is not None and epoch - since >= self._schedule.patience
