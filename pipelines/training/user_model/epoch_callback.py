"""Callback that follows a hypermodel's `fit`: its models, their epochs, whichever loop runs them.

A custom training loop may call the callbacks as Keras does, or only at the ends of epochs, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, EpochMonitor
from pipelines.training.keras_state import offer_checkpoint, restore
from pipelines.training.messages import RungDecision
from pipelines.training.user_model.model_training import ModelTraining
from pipelines.training.user_model.user_fit import UserFit, UserModelListener


class TrainingEndedError(BaseException):  # no error; and an `except Exception` in user code must not catch it
    """End of a training that continues after its trial was pruned."""


class EpochCallback(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Callback that counts the epochs and updates a monitor for each model.

    Attributes:
        trainings: one for each model that was trained with this callback, in order.
        epochs: finite metrics of each scored epoch, over all trainings.
        done: epochs of an earlier attempt that are not trained again.
        is_pruned: whether the trial ended at a rung.
        is_paused: whether it may go on from there.
    """

    def __init__(
        self, model: keras.Model, fit: UserFit, listener: UserModelListener, checkpoints: CheckpointStore | None
    ) -> None:
        super().__init__()
        self._given = model
        self._fit = fit
        self._listener = listener
        self._checkpoints = checkpoints
        self._starts_call = False
        self._planned = 0
        self.trainings: list[ModelTraining] = []
        self.epochs: list[Mapping[str, float]] = []
        self.is_pruned = self.is_paused = False
        monitor = self._make_monitor()
        self.done = restore(model, monitor, checkpoints)
        if self.done:
            self.epochs += monitor.history
            self.trainings.append(ModelTraining(model, monitor))

    def __deepcopy__(self, memo: Any) -> EpochCallback:
        """Return the callback itself: code that copies callbacks for each of its models is followed too."""
        return self

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Find the training that starts or goes on."""
        self._end_if_pruned()
        self._starts_call = True
        training = self._find_training()
        if training.is_over():
            training = self._add_training(training.model)
        if isinstance(getattr(training.model, "history", None), keras.callbacks.History):
            training.start_call()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Pass on the number of epochs, once a call's first epoch is known."""
        of = (self.params or {}).get("epochs")
        if self._starts_call and of:
            # A short training cuts the calls before: theirs are counted as planned.
            before = self._planned if self._fit.is_short else len(self.epochs)
            self._planned = before + int(of) - epoch
            self._listener.expect_epochs(self._planned)
        self._starts_call = False

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Record the batch."""
        self._listener.record_batch()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Record the batch."""
        self._listener.record_batch()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Update the model's monitor; all calls and models of a `fit` count their epochs through."""
        self._end_if_pruned()
        training = self._find_training()
        metrics = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        if self._fit.metric not in metrics and self._fit.has_custom_fit:
            self._listener.record_batch()  # it may return the score at its end
            stops = False
        else:
            stops = training.observe(len(self.epochs), metrics)
            self.epochs.append(training.monitor.history[-1])
            self.is_pruned, self.is_paused = training.monitor.is_pruned, training.monitor.is_paused
        if stops or self._fit.is_short:
            training.model.stop_training = True
        offer_checkpoint(self._checkpoints, training.model, training.monitor, stops=stops or self._fit.is_short)

    def find_owner(self, history: Any) -> ModelTraining | None:
        """Return the training that a history of Keras belongs to; None where this callback did not follow it."""
        return next((training for training in self.trainings if training.owns(history)), None)

    def _find_training(self) -> ModelTraining:
        # A custom loop may never set the model.
        model = self._given if self.model is None else self.model
        known = (training for training in reversed(self.trainings) if training.model is model)
        return next(known, None) or self._add_training(model)

    def _add_training(self, model: keras.Model) -> ModelTraining:
        self.trainings.append(ModelTraining(model, self._make_monitor()))
        return self.trainings[-1]

    def _make_monitor(self) -> EpochMonitor:
        fit = self._fit
        return EpochMonitor(fit.schedule, fit.metric, fit.direction, _NumberingListener(self, self._listener))

    def _end_if_pruned(self) -> None:
        if self.is_pruned:
            raise TrainingEndedError


class _NumberingListener:
    """Listener that numbers the epochs of all trainings."""

    def __init__(self, callback: EpochCallback, listener: EpochListener) -> None:
        self._callback = callback
        self._listener = listener

    def record_batch(self) -> None:
        self._listener.record_batch()

    def record_epoch(self, epoch: int, metrics: Mapping[str, float]) -> RungDecision:
        return self._listener.record_epoch(len(self._callback.epochs), metrics)
