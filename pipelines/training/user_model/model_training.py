"""Training of one model inside a `fit`, which may train several: folds, seeds, phases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from pipelines.training.epoch_monitor import EpochMonitor
from pipelines.training.user_model.trained_weights import compute_digest


class ModelTraining:
    """Training of one model: its calls of `Model.fit`, as long as each goes on with the weights of the last one.

    Attributes:
        model: the model.
        monitor: scores its epochs, counted from 0.
        numbers: per epoch its number in the whole `fit`.
        histories: Keras's histories of its calls.
    """

    def __init__(self, model: keras.Model, monitor: EpochMonitor) -> None:
        self.model = model
        self.monitor = monitor
        self.numbers = list(range(monitor.epochs))  # those that an earlier attempt trained
        self.histories: list[keras.callbacks.History] = []
        self._beginning = b""

    def start_call(self) -> None:
        """Record that a call of `Model.fit` starts."""
        if self.histories:
            # A phase has a patience of its own: early stopping may have ended the one before.
            self.monitor.renew_patience()
        else:
            self._beginning = compute_digest(self.model)
        self.histories.append(self.model.history)

    def is_over(self) -> bool:
        """Return whether the model has the weights again that it began with: for the next fold or seed."""
        return self.monitor.epochs > 0 and bool(self.histories) and compute_digest(self.model) == self._beginning

    def owns(self, history: Any) -> bool:
        """Return whether a history is that of one of its calls."""
        return any(history is own for own in self.histories)

    def observe(self, number: int, metrics: Mapping[str, float]) -> bool:
        """Score an epoch, with its number in the whole `fit`; return whether the training stops with it."""
        self.numbers.append(number)
        return self.monitor.observe(self.monitor.epochs, metrics, self.model.get_weights)
