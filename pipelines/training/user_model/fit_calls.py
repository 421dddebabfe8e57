"""Calls of a hypermodel's `fit`: the data it gets, and the trained model that is kept of it.

The weights that are kept are those of the model that was trained, which need not be the one that `fit` was given.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import keras
import keras_tuner

from pipelines.models.user_model import can_score
from pipelines.training.batches import Rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import FitResult
from pipelines.training.fit_trainer import VALIDATION_BATCH
from pipelines.training.user_model.epoch_callback import EpochCallback, TrainingEndedError
from pipelines.training.user_model.fit_data import FitData, make_fit_data
from pipelines.training.user_model.fit_folder import work_in
from pipelines.training.user_model.fit_scores import FitScore, combine_scores, score_results, score_training
from pipelines.training.user_model.trained_weights import TrainedWeights
from pipelines.training.user_model.user_fit import UserFit, UserModelListener


@dataclass(frozen=True)
class UserFitResult:
    """A `fit` that ended.

    Attributes:
        fitted: its epochs and its score.
        model: the trained model that is kept, with the weights that have the score; None where none is known.
        remarks: decisions about the kept model, in one line each.
        no_model: why no model is kept.
    """

    fitted: FitResult
    model: keras.Model | None
    remarks: tuple[str, ...] = ()
    no_model: str = ""


def run_user_fit(
    fit: UserFit,
    hp: keras_tuner.HyperParameters,
    model: keras.Model,
    rows: Rows,
    listener: UserModelListener,
    checkpoints: CheckpointStore | None = None,
) -> UserFitResult:
    """Train, from a checkpoint if there is one, and set the kept model to the weights of its best epoch.

    Raises:
        TrialError: if there is no finite score.
        ModelCodeError: if the user's code raises, or returns something else.
    """
    callback = EpochCallback(model, fit, listener, checkpoints)
    data = make_fit_data(rows, fit.task, model, fit.choose_form(rows))
    trained = TrainedWeights(model)
    results: Any = None
    working = work_in(fit.folder, fit.user.file.parent)
    with fit.user.locate_errors(), trained.watch(), working, suppress(TrainingEndedError):
        results = fit.user.hypermodel.fit(hp, model, *data.positional, **_make_keywords(fit, model, data, callback))
    if callback.is_pruned:
        return _end_pruned(callback, fit)
    score = score_results(results, callback, fit)
    if score.model is None:
        score = _find_model(score, callback, trained, model, fit)
    if score.model is not None and score.weights is not None:
        score.model.set_weights(score.weights)
    fitted = _make_result(score, callback, fit, listener)
    if score.model is None:
        return UserFitResult(fitted, None, no_model=_explain_no_model(fit))
    return UserFitResult(fitted, score.model, _list_remarks(score, callback, fit))


def _make_keywords(fit: UserFit, model: keras.Model, data: FitData, callback: EpochCallback) -> dict[str, Any]:
    keywords: dict[str, Any] = {**data.keywords, "callbacks": [callback], **fit.arguments}
    if data.is_dataset:
        # Its batches have that size already, and Keras refuses to be given both.
        keywords.pop("batch_size", None)
    if not fit.user.has_custom_fit:
        batch = max(int(fit.arguments["batch_size"]), VALIDATION_BATCH)
        keywords |= {"validation_batch_size": batch, "verbose": 0, "initial_epoch": callback.done}
        if not can_score(model):
            del keywords["validation_data"]
    return keywords


def _end_pruned(callback: EpochCallback, fit: UserFit) -> UserFitResult:
    best = combine_scores([score_training(each) for each in callback.trainings if each.monitor.epochs], fit)
    fitted = FitResult(tuple(callback.epochs), best.epoch or 0, best.value, pruned=True, paused=callback.is_paused)
    return UserFitResult(fitted, best.model)


def _find_model(
    score: FitScore, callback: EpochCallback, trained: TrainedWeights, given: keras.Model, fit: UserFit
) -> FitScore:
    """Return a score that `fit` returned with the model that it was measured on, as far as that is known."""
    followed = [each for each in callback.trainings if each.histories or trained.include(each.model)]
    if trained.include(given):
        # Others that are trained before it, or beside it, serve it.
        followed = [each for each in followed if each.model is given]
    scores = [score_training(each) for each in followed if each.monitor.epochs]
    # Its own epoch's score, or the mean of several trainings, such as folds.
    if len(scores) > 1 or (scores and _is_close(scores[0].value, score.value)):
        found = combine_scores(scores, fit)
        return replace(found, metrics={**found.metrics, **score.metrics})
    # Else the score belongs to no epoch, but to the model as `fit` left it.
    last = given if trained.include(given) else followed[-1].model if followed else None
    left = scores[0].last_metrics if scores else {}
    return replace(score, model=last, metrics={**left, **score.metrics})


def _is_close(one: float, other: float) -> bool:
    # The same value may be summed in batches of another size.
    return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-9)


def _make_result(score: FitScore, callback: EpochCallback, fit: UserFit, listener: UserModelListener) -> FitResult:
    value = score.metrics[fit.metric]
    if not callback.epochs:
        # No epoch was seen: the returned score counts as a single one.
        listener.expect_epochs(1)
        listener.record_epoch(0, score.metrics)
        return FitResult((score.metrics,), 0, value, pruned=False)
    epoch = len(callback.epochs) - 1 if score.epoch is None else score.epoch
    metrics = None if score.metrics == callback.epochs[epoch] else score.metrics
    return FitResult(tuple(callback.epochs), epoch, value, pruned=False, score_metrics=metrics)


def _explain_no_model(fit: UserFit) -> str:
    return (
        f"fit in {fit.user.file.name} did not train the model that it was given, and passed callbacks to no other; "
        "pass callbacks=callbacks to the fit of the model to keep, or leave folds to data.split.folds"
    )


def _list_remarks(score: FitScore, callback: EpochCallback, fit: UserFit) -> tuple[str, ...]:
    remarks, file = [], fit.user.file.name
    if len(callback.trainings) > 1:
        kept = "the last one" if score.epoch is None else "the best one that counts for the score"
        remarks.append(f"fit in {file} trains {len(callback.trainings)} models; {kept} is kept")
    if score.is_late:
        remarks.append(
            f"fit in {file} passes no callbacks to Model.fit: its score is that of the best epoch, the weights are "
            "those of the last one; pass callbacks=callbacks to keep the best"
        )
    return tuple(remarks)
