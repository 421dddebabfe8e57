"""Trains a study's own model as its author wrote it, and makes of whatever comes back the result of a trial.

KerasTuner's rules hold. `fit` may return Keras's history, a dictionary of metrics, a number, or a list of these. What
it returns is the score, unless it is the history: then the best epoch is. An author's own training loop may call the
callbacks as Keras does, or only at the ends of epochs, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import keras
import keras_tuner
import numpy as np

from pipelines.data.prepared import Part, Task
from pipelines.models.user_model import LoadedUserModel, ModelCodeError, as_taken, targets_for
from pipelines.training.batches import Rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, EpochMonitor, FitResult
from pipelines.training.errors import NoObjectiveError, TrialError
from pipelines.training.keras_state import kept, restore
from pipelines.training.schedule import FIT_ARGUMENTS, Schedule

_VALIDATION_BATCH = 1024


class UserModelListener(EpochListener, Protocol):
    """Hears also how long a training of an author's own goes on, which only the training shows."""

    def expects(self, epochs: int) -> None:
        """There will be at most this many epochs."""


@dataclass(frozen=True)
class UserFit:
    """What the training of a person's model needs besides model and rows.

    Attributes:
        arguments: what `fit` is given besides the rows: `epochs` and `batch_size`, where they are ours to give.
    """

    user: LoadedUserModel
    task: Task
    schedule: Schedule
    metric: str
    direction: Literal["minimize", "maximize"]
    arguments: Mapping[str, Any]


def select_fit_arguments(
    user: LoadedUserModel, values: Mapping[str, Any], asked: frozenset[str], schedule: Schedule
) -> dict[str, Any]:
    """Return which of `epochs` and `batch_size` are handed to `fit`, and their values.

    A `fit` of the author's own gets those that the space declares and that the code does not ask `hp` for itself.
    """
    if not user.has_custom_fit:
        return {"batch_size": schedule.batch_size, "epochs": schedule.epochs}
    return {name: int(values[name]) for name in FIT_ARGUMENTS if name in values and name not in asked}


def run_user_fit(
    how: UserFit,
    hp: keras_tuner.HyperParameters,
    model: keras.Model,
    rows: Rows,
    listener: UserModelListener,
    checkpoints: CheckpointStore | None = None,
) -> FitResult:
    """Train, from a checkpoint if there is one, and give the model the weights of its best epoch if one is scored.

    Raises:
        TrialError: if there is no finite score.
        ModelCodeError: if the author's code raises, or returns something else.
    """
    watch = _Watch(model, how, listener, checkpoints)
    results: Any = None
    with how.user.blamed():
        try:
            results = how.user.hypermodel.fit(
                hp, model, *_xy(how, model, rows.train), **_keywords(how, model, rows, watch)
            )
        except _TrainingEnded:
            results = None
    if watch.scored:
        fitted, weights = watch.judge.verdict()
        model.set_weights(weights)
        if fitted.pruned or results is None or _is_history(results):
            return fitted
        return _rescored(fitted, _metrics_of(results, how), how)
    metrics = _metrics_of(results, how)
    listener.expects(1)
    listener.epoch(0, metrics)
    return FitResult((metrics,), 0, metrics[how.metric], pruned=False)


def _xy(how: UserFit, model: keras.Model, part: Part) -> tuple[Any, Any]:
    return as_taken(part.x), targets_for(model, how.task, part.y)


def _keywords(how: UserFit, model: keras.Model, rows: Rows, watch: _Watch) -> dict[str, Any]:
    keywords: dict[str, Any] = {"validation_data": _xy(how, model, rows.validation), "callbacks": [watch]}
    keywords |= how.arguments
    if rows.class_weight:
        keywords["class_weight"] = dict(rows.class_weight)
    if not how.user.has_custom_fit:
        batch = max(int(how.arguments["batch_size"]), _VALIDATION_BATCH)
        keywords |= {"validation_batch_size": batch, "verbose": 0, "initial_epoch": watch.done}
    return keywords


class _TrainingEnded(BaseException):  # no error; and the author's `except Exception` must not catch it
    """Ends a training loop that goes on after its trial was pruned."""


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Counts and judges the epochs, by whichever loop they are run.

    Attributes:
        done: epochs of an earlier attempt that are not trained again.
    """

    def __init__(
        self, model: keras.Model, how: UserFit, listener: UserModelListener, checkpoints: CheckpointStore | None
    ) -> None:
        super().__init__()
        self._built = model
        self._how = how
        self._listener = listener
        self._checkpoints = checkpoints
        self._pruned = False
        self.seen: dict[str, float] = {}
        self.judge = EpochMonitor(how.schedule, how.metric, how.direction, _Noting(self, listener))
        self.done = self._epochs = restore(model, self.judge, checkpoints)
        self.scored = self.done > 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Say how many epochs there will be."""
        if epochs := (self.params or {}).get("epochs"):
            self._listener.expects(self._epochs - self.done + int(epochs))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Say that work goes on."""
        self._listener.batch()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Say that work goes on."""
        self._listener.batch()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Judge the epoch; a loop that trains in several rounds counts its epochs through."""
        if self._pruned:
            raise _TrainingEnded
        metrics = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        self.seen = metrics
        if self._how.metric not in metrics and self._how.user.has_custom_fit:
            self._listener.batch()  # it may return the score in the end
            return
        stops = self.judge.stops(self._epochs, metrics, self._built.get_weights)
        self.scored = True
        self._epochs += 1
        if stops:
            self._built.stop_training = True
        elif self._checkpoints is not None:
            self._checkpoints.offer(lambda: kept(self._built, self.judge))

    def prunes(self) -> None:
        """Take note that the trial is pruned."""
        self._pruned = True


class _Noting:
    """Passes on to a listener, and tells the watch when the trial is pruned."""

    def __init__(self, watch: _Watch, listener: EpochListener) -> None:
        self._watch = watch
        self._listener = listener

    def batch(self) -> None:
        self._listener.batch()

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        pruned = self._listener.epoch(epoch, metrics)
        if pruned:
            self._watch.prunes()
        return pruned


def _is_history(results: Any) -> bool:
    each = results if isinstance(results, list) else [results]
    return bool(each) and all(isinstance(one, keras.callbacks.History) for one in each)


def _metrics_of(results: Any, how: UserFit) -> dict[str, float]:
    """Return what `fit` returned as metrics with the objective among them; the mean of a list.

    Raises:
        TrialError: if that cannot be done.
    """
    if isinstance(results, list) and results:
        many = [_metrics_of(each, how) for each in results]
        return {name: sum(each[name] for each in many) / len(many) for name in many[0] if all(name in m for m in many)}
    if isinstance(results, keras.callbacks.History):
        return _best_of_history(results, how)
    if isinstance(results, int | float | np.number) and not isinstance(results, bool):
        metrics = {how.metric: float(results)}
    elif isinstance(results, dict):
        metrics = {str(name): float(np.mean(value)) for name, value in results.items()}
    else:
        expected = "Keras's history, a dictionary of metrics, a number, or a list of these"
        raise ModelCodeError(f"fit in {how.user.file.name} must return {expected}, got {type(results).__name__}")
    _check(metrics, how)
    return metrics


def _best_of_history(history: Any, how: UserFit) -> dict[str, float]:
    reported: Mapping[str, Any] = history.history
    if how.metric not in reported:
        raise NoObjectiveError(f"training reported no {how.metric}, only {', '.join(sorted(reported)) or 'nothing'}")
    better = np.nanargmin if how.direction == "minimize" else np.nanargmax
    best = int(better(np.asarray(reported[how.metric], dtype=float)))
    metrics = {name: float(np.mean(values[best])) for name, values in reported.items() if len(values) > best}
    _check(metrics, how)
    return metrics


def _check(metrics: Mapping[str, float], how: UserFit) -> None:
    if how.metric not in metrics:
        raise NoObjectiveError(
            f"fit in {how.user.file.name} returned no {how.metric}, only {', '.join(sorted(metrics))}"
        )
    if not math.isfinite(metrics[how.metric]):
        raise TrialError(f"{how.metric} became {metrics[how.metric]}")


def _rescored(fitted: FitResult, metrics: Mapping[str, float], how: UserFit) -> FitResult:
    """Return the training with the score that the author's `fit` gave it."""
    history = list(fitted.history)
    history[fitted.best_epoch] = {**history[fitted.best_epoch], **metrics}
    return FitResult(tuple(history), fitted.best_epoch, metrics[how.metric], pruned=False)
