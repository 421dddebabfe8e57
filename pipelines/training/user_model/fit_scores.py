"""Score of a `fit`: its return value as metrics, and the trained model that has them.

KerasTuner's rules hold. `fit` may return Keras's history, a dictionary of metrics, a number, or a list of these, whose
mean counts. A history counts by its best epoch; histories of one model that goes on training count as one training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from pipelines.models.user_model import ModelCodeError
from pipelines.training.errors import NoObjectiveError, TrialError
from pipelines.training.user_model.epoch_callback import EpochCallback
from pipelines.training.user_model.model_training import ModelTraining
from pipelines.training.user_model.user_fit import UserFit


@dataclass(frozen=True)
class FitScore:
    """Score of one training, or the mean of several.

    Attributes:
        metrics: with the objective.
        model: the model that has this score, of several the best; None where the returned value does not show it.
        weights: that model's at its best epoch; None where it is to be taken as `fit` left it.
        epoch: its best epoch, counted over all trainings of the `fit`; None where none is known.
        value: that model's own score.
        last_metrics: metrics of that model's last epoch.
        is_late: whether the best epoch's weights are lost, since later epochs followed it.
    """

    metrics: Mapping[str, float]
    value: float
    model: keras.Model | None = None
    weights: Sequence[Any] | None = None
    epoch: int | None = None
    last_metrics: Mapping[str, float] = field(default_factory=dict)
    is_late: bool = False


def score_results(results: Any, callback: EpochCallback, fit: UserFit) -> FitScore:
    """Return the score of what a `fit` returned.

    Raises:
        TrialError: if the objective is not finite, or is missing.
        ModelCodeError: if it is something else.
    """
    if isinstance(results, list | tuple) and results:
        return combine_scores([*_score_histories(results, callback, fit), *_score_values(results, callback, fit)], fit)
    if isinstance(results, keras.callbacks.History):
        return _score_histories([results], callback, fit)[0]
    # Some return nothing after one `Model.fit`, whose epochs are known.
    if results is None and len(callback.trainings) == 1 and callback.epochs:
        return score_training(callback.trainings[0])
    metrics = _extract_metrics(results, fit)
    return FitScore(metrics, metrics[fit.metric])


def score_training(training: ModelTraining) -> FitScore:
    """Return the score of a training with scored epochs: its best epoch."""
    best, weights = training.monitor.result()
    epoch = training.numbers[best.best_epoch]
    return FitScore(best.metrics, best.best_value, training.model, weights, epoch, best.history[-1])


def combine_scores(scores: Sequence[FitScore], fit: UserFit) -> FitScore:
    """Return the mean of several scores, with the model of the best one."""
    if len(scores) == 1:
        return scores[0]
    best = scores[0]
    for score in scores:
        if score.model is not None and (best.model is None or fit.is_better(score.value, best.value)):
            best = score
    names = [name for name in scores[0].metrics if all(name in score.metrics for score in scores)]
    metrics = {name: sum(score.metrics[name] for score in scores) / len(scores) for name in names}
    return replace(best, metrics=metrics)


def _score_histories(results: Sequence[Any], callback: EpochCallback, fit: UserFit) -> list[FitScore]:
    """Return one score for each training among returned values that has histories there."""
    trainings: dict[int, ModelTraining] = {}
    others: dict[int, list[Any]] = {}
    for history in results:
        if not isinstance(history, keras.callbacks.History):
            continue
        owner = callback.find_owner(history)
        if owner is not None and owner.monitor.epochs:
            trainings[id(owner)] = owner
        else:  # this callback was not passed on
            others.setdefault(id(history.model), []).append(history)
    return [
        *(score_training(training) for training in trainings.values()),
        *(_score_unseen(histories, fit) for histories in others.values()),
    ]


def _score_values(results: Sequence[Any], callback: EpochCallback, fit: UserFit) -> list[FitScore]:
    return [score_results(each, callback, fit) for each in results if not isinstance(each, keras.callbacks.History)]


def _score_unseen(histories: Sequence[Any], fit: UserFit) -> FitScore:
    """Return the score of one model's histories whose epochs no callback reported."""
    epochs = [epoch for history in histories for epoch in _list_epochs(history.history)]
    values = [epoch.get(fit.metric, math.nan) for epoch in epochs]
    if not any(fit.metric in epoch for epoch in epochs):
        reported = sorted({name for epoch in epochs for name in epoch})
        raise NoObjectiveError(f"training reported no {fit.metric}, only {', '.join(reported) or 'nothing'}")
    if all(math.isnan(value) for value in values):
        raise TrialError(f"{fit.metric} became nan in epoch 1")
    best = int((np.nanargmin if fit.direction == "minimize" else np.nanargmax)(values))
    return FitScore(_check(epochs[best], fit), values[best], histories[0].model, is_late=best + 1 < len(epochs))


def _list_epochs(reported: Mapping[str, Sequence[Any]]) -> list[dict[str, float]]:
    """Return a history's metrics epoch by epoch."""
    count = max((len(values) for values in reported.values()), default=0)
    return [
        {name: float(np.mean(values[epoch])) for name, values in reported.items() if len(values) > epoch}
        for epoch in range(count)
    ]


def _extract_metrics(results: Any, fit: UserFit) -> dict[str, float]:
    # A Boolean is an int in Python, and no score.
    if isinstance(results, int | float | np.number) and not isinstance(results, bool):
        metrics = {fit.metric: float(results)}
    elif isinstance(results, dict):
        metrics = {str(name): float(np.mean(value)) for name, value in results.items()}
    else:
        expected = "Keras's history, a dictionary of metrics, a number, or a list of these"
        raise ModelCodeError(f"fit in {fit.user.file.name} must return {expected}, got {type(results).__name__}")
    return _check(metrics, fit)


def _check(metrics: Mapping[str, float], fit: UserFit) -> dict[str, float]:
    """Return the metrics that are finite, the objective among them."""
    if fit.metric not in metrics:
        raise NoObjectiveError(
            f"fit in {fit.user.file.name} returned no {fit.metric}, only {', '.join(sorted(metrics))}"
        )
    if not math.isfinite(metrics[fit.metric]):
        raise TrialError(f"{fit.metric} became {metrics[fit.metric]}")
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
