"""Calls of a hypermodel's `fit`, and conversion of its return value to the result of a training.

KerasTuner's rules hold. `fit` may return Keras's history, a dictionary of metrics, a number, or a list of these. The
returned value is the score, unless it is the history: then the best epoch's is. A custom training loop may call the
callbacks as Keras does, or only at the ends of epochs, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import keras_tuner
import numpy as np

from pipelines.data.prepared import Task
from pipelines.models.user_model import LoadedUserModel, ModelCodeError
from pipelines.training.batches import Rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, EpochMonitor, FitResult
from pipelines.training.errors import NoObjectiveError, TrialError
from pipelines.training.fit_trainer import VALIDATION_BATCH
from pipelines.training.keras_state import capture, restore
from pipelines.training.schedule import FIT_ARGUMENTS, Schedule
from pipelines.training.user_model.fit_data import DatasetForm, FitData, make_fit_data
from search_spaces.values import Direction


class UserModelListener(EpochListener, Protocol):
    """Listener that also receives the number of epochs, which only the training of a user model shows."""

    def expect_epochs(self, epochs: int) -> None:
        """Set the most epochs that there will be."""


@dataclass(frozen=True)
class UserFit:
    """Setup of a user model's training, except its model and rows.

    Attributes:
        arguments: arguments of `fit` except the rows: `epochs` and `batch_size`; see `select_fit_arguments`.
    """

    user: LoadedUserModel
    task: Task
    schedule: Schedule
    metric: str
    direction: Direction
    arguments: Mapping[str, Any]

    def choose_form(self, rows: Rows) -> DatasetForm | None:
        """Return the form of a dataset for a custom `fit` whose data was one; None for arrays."""
        # Keras's `fit` trains alike by arrays, which can be trained in one graph.
        if not self.user.has_custom_fit or rows.train.batch_size is None:
            return None
        return DatasetForm(self.arguments.get("batch_size", rows.train.batch_size), self.schedule.seed)


def select_fit_arguments(
    user: LoadedUserModel, values: Mapping[str, Any], requested: frozenset[str], schedule: Schedule
) -> dict[str, Any]:
    """Return the arguments of `fit` among `epochs` and `batch_size`, with their values.

    A custom `fit` gets those that the space declares and that the code does not request from `hp` itself.
    """
    if not user.has_custom_fit:
        return {"batch_size": schedule.batch_size, "epochs": schedule.epochs}
    return {name: int(values[name]) for name in FIT_ARGUMENTS if name in values and name not in requested}


def run_user_fit(
    fit: UserFit,
    hp: keras_tuner.HyperParameters,
    model: keras.Model,
    rows: Rows,
    listener: UserModelListener,
    checkpoints: CheckpointStore | None = None,
) -> FitResult:
    """Train, from a checkpoint if there is one, and set the model to the weights of its best epoch if one is scored.

    Raises:
        TrialError: if there is no finite score.
        ModelCodeError: if the user's code raises, or returns something else.
    """
    callback = _EpochCallback(model, fit, listener, checkpoints)
    data = make_fit_data(rows, fit.task, model, fit.choose_form(rows))
    results: Any = None
    with fit.user.locate_errors():
        try:
            results = fit.user.hypermodel.fit(hp, model, *data.positional, **_make_keywords(fit, data, callback))
        except _TrainingEnded:
            results = None
    if callback.has_score:
        fitted, weights = callback.monitor.result()
        model.set_weights(weights)
        if fitted.pruned or results is None or _is_history(results):
            return fitted
        return _replace_score(fitted, _extract_metrics(results, fit), fit)
    metrics = _extract_metrics(results, fit)
    # No epoch was seen: the returned score counts as a single one.
    listener.expect_epochs(1)
    listener.record_epoch(0, metrics)
    return FitResult((metrics,), 0, metrics[fit.metric], pruned=False)


def _make_keywords(fit: UserFit, data: FitData, callback: _EpochCallback) -> dict[str, Any]:
    keywords: dict[str, Any] = {**data.keywords, "callbacks": [callback], **fit.arguments}
    if data.is_dataset:
        # Its batches have that size already, and Keras refuses to be given both.
        keywords.pop("batch_size", None)
    if not fit.user.has_custom_fit:
        batch = max(int(fit.arguments["batch_size"]), VALIDATION_BATCH)
        keywords |= {"validation_batch_size": batch, "verbose": 0, "initial_epoch": callback.done}
    return keywords


class _TrainingEnded(BaseException):  # no error; and an `except Exception` in user code must not catch it
    """End of a training loop that continues after its trial was pruned."""


class _EpochCallback(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Callback that counts the epochs and updates the monitor, whichever loop runs them.

    Attributes:
        done: epochs of an earlier attempt that are not trained again.
    """

    def __init__(
        self, model: keras.Model, fit: UserFit, listener: UserModelListener, checkpoints: CheckpointStore | None
    ) -> None:
        super().__init__()
        # Not `self.model`: a custom loop may never set it.
        self._built = model
        self._fit = fit
        self._listener = listener
        self._checkpoints = checkpoints
        self._pruned = False
        self.latest: dict[str, float] = {}
        self.monitor = EpochMonitor(fit.schedule, fit.metric, fit.direction, _PruningListener(self, listener))
        self.done = self._epochs = restore(model, self.monitor, checkpoints)
        self.has_score = self.done > 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Pass on the number of epochs."""
        if epochs := (self.params or {}).get("epochs"):
            # Keras counts the resumed epochs among `epochs`; each further `fit` call of a loop adds to those before it.
            self._listener.expect_epochs(self._epochs - self.done + int(epochs))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Record the batch."""
        self._listener.record_batch()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Record the batch."""
        self._listener.record_batch()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Update the monitor; a loop of several `fit` calls counts its epochs through."""
        if self._pruned:
            raise _TrainingEnded
        metrics = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        self.latest = metrics
        if self._fit.metric not in metrics and self._fit.user.has_custom_fit:
            self._listener.record_batch()  # it may return the score at its end
            return
        stops = self.monitor.observe(self._epochs, metrics, self._built.get_weights)
        self.has_score = True
        self._epochs += 1
        if stops:
            self._built.stop_training = True
        elif self._checkpoints is not None:
            self._checkpoints.offer(lambda: capture(self._built, self.monitor))

    def mark_pruned(self) -> None:
        """Record that the trial is pruned."""
        self._pruned = True


class _PruningListener:
    """Listener that marks the callback when the trial is pruned."""

    def __init__(self, callback: _EpochCallback, listener: EpochListener) -> None:
        self._callback = callback
        self._listener = listener

    def record_batch(self) -> None:
        self._listener.record_batch()

    def record_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        pruned = self._listener.record_epoch(epoch, metrics)
        if pruned:
            self._callback.mark_pruned()
        return pruned


def _is_history(results: Any) -> bool:
    each = results if isinstance(results, list) else [results]
    return bool(each) and all(isinstance(one, keras.callbacks.History) for one in each)


def _extract_metrics(results: Any, fit: UserFit) -> dict[str, float]:
    """Convert the return value of `fit` to metrics, the objective among them; a list to its mean.

    Raises:
        TrialError: if that cannot be done.
    """
    if isinstance(results, list) and results:
        many = [_extract_metrics(each, fit) for each in results]
        return {name: sum(each[name] for each in many) / len(many) for name in many[0] if all(name in m for m in many)}
    if isinstance(results, keras.callbacks.History):
        return _extract_best_epoch(results, fit)
    # A Boolean is an int in Python, and no score.
    if isinstance(results, int | float | np.number) and not isinstance(results, bool):
        metrics = {fit.metric: float(results)}
    elif isinstance(results, dict):
        metrics = {str(name): float(np.mean(value)) for name, value in results.items()}
    else:
        expected = "Keras's history, a dictionary of metrics, a number, or a list of these"
        raise ModelCodeError(f"fit in {fit.user.file.name} must return {expected}, got {type(results).__name__}")
    _check(metrics, fit)
    return metrics


def _extract_best_epoch(history: Any, fit: UserFit) -> dict[str, float]:
    reported: Mapping[str, Any] = history.history
    if fit.metric not in reported:
        raise NoObjectiveError(f"training reported no {fit.metric}, only {', '.join(sorted(reported)) or 'nothing'}")
    better = np.nanargmin if fit.direction == "minimize" else np.nanargmax
    best = int(better(np.asarray(reported[fit.metric], dtype=float)))
    metrics = {name: float(np.mean(values[best])) for name, values in reported.items() if len(values) > best}
    _check(metrics, fit)
    return metrics


def _check(metrics: Mapping[str, float], fit: UserFit) -> None:
    if fit.metric not in metrics:
        raise NoObjectiveError(
            f"fit in {fit.user.file.name} returned no {fit.metric}, only {', '.join(sorted(metrics))}"
        )
    if not math.isfinite(metrics[fit.metric]):
        raise TrialError(f"{fit.metric} became {metrics[fit.metric]}")


def _replace_score(fitted: FitResult, metrics: Mapping[str, float], fit: UserFit) -> FitResult:
    """Return the training with the score that the hypermodel's `fit` returned."""
    history = list(fitted.history)
    history[fitted.best_epoch] = {**history[fitted.best_epoch], **metrics}
    return FitResult(tuple(history), fitted.best_epoch, metrics[fit.metric], pruned=False)
