"""Short training of one point of a space, for the check of a user model.

On few rows each call of `Model.fit` ends after one epoch, and the code around it runs to its end. Code that needs all
rows or epochs then fails, so it is trained once more as a trial trains it, within a time limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import keras

from pipelines.data.prepared_folder import load_summary
from pipelines.models.user_model import ModelCodeError, ModelRefusedError, can_score, has_call, load_user_model
from pipelines.training.build_limits import TimeIsUp, limit_seconds
from pipelines.training.errors import NoObjectiveError, TrialError
from pipelines.training.messages import ModelCheck, RungDecision, TrialJob, UserModel
from pipelines.training.model_size import estimate_training_memory, refuse_large_model
from pipelines.training.parallel.device_group import build_for, open_group, refuse_obstacle
from pipelines.training.schedule import FIT_ARGUMENTS, is_stopping_requested
from pipelines.training.user_model.fit_calls import UserFitResult
from pipelines.training.user_model.input_notes import explain_inputs, note_input_layers
from pipelines.training.user_model.model_file import ModelFileError, list_unregistered, save_user_model
from pipelines.training.user_model.objective_notes import note_objective_of_steps, note_unweighted_objective
from pipelines.training.user_model.observations import Observations
from pipelines.training.user_model.trial import UserModelTrial, build_user_model_trial
from search_spaces.errors import InputError, Problem
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.values import Value

_ROWS = 64  # two steps of the default batch size: the first compiles, the second is timed

LONGEST_S = 60.0
"""Limit for training one point, and for exploring the code."""

Choose = Callable[[HyperparameterRequest], Value]


@dataclass(frozen=True)
class TriedPoint:
    """Result of trying one point.

    Attributes:
        error: what the user's code raises there; a trial with these values would fail.
    """

    check: ModelCheck
    error: str = ""


def require_user_model(job: TrialJob) -> UserModel:
    """Return the facts of a job's user model."""
    assert job.user_model is not None
    return job.user_model


def refuse(reason: str) -> ModelCheck:
    """Return the check of a point that is not trained."""
    return ModelCheck(0, 0, 0.0, 0.0, 0, refused=reason)


def try_point(job: TrialJob, choose: Choose, seen: Observations, *, arguments: bool = True) -> TriedPoint:
    """Train one point shortly, and record what its code requests.

    Args:
        job: the point.
        choose: gives the values that the space does not declare.
        seen: receives requests and notes.
        arguments: whether a custom `fit` gets arguments from the space first, or only where it fails without.

    Raises:
        InputError: if the code is no hypermodel, or the objective is never reported.
        ModelFatalError: if the code raises KerasTuner's `FatalError`.
        ModelTooLargeError: if the model is over a ceiling.
    """
    base = require_user_model(job)
    requested = seen.names if arguments else frozenset(FIT_ARGUMENTS)
    try:
        try:
            return _train(replace(job, user_model=replace(base, requested=requested)), choose, seen, is_short=True)
        except (ModelCodeError, NoObjectiveError):
            if not load_user_model(job.model, Path(base.base)).has_custom_fit:
                raise
            return _train(replace(job, user_model=replace(base, requested=seen.names)), choose, seen, is_short=False)
    except NoObjectiveError as error:
        raise InputError(Problem(str(error), "objective.metric")) from error
    except ModelCodeError as error:
        return TriedPoint(refuse(f"its trials fail: {error}"), str(error))
    except ModelRefusedError as refusal:
        return TriedPoint(refuse(str(refusal)))
    except TimeIsUp:
        seen.is_complete = False
        return TriedPoint(refuse(f"trying it took longer than {LONGEST_S:g} s"))


def _train(job: TrialJob, choose: Choose, seen: Observations, *, is_short: bool) -> TriedPoint:
    """Build and train one point; record its requests whatever happens."""
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(job.seed)
    started = time.monotonic()
    group = open_group(job.devices)
    with limit_seconds(LONGEST_S):
        with build_for(group):
            trial = build_user_model_trial(job, require_user_model(job), 0, choose)
        seen.record(trial.hp)
        # By all values: names that only the code declares may differ where the space has one point.
        key = (frozenset(trial.hp.values.items()), frozenset(trial.fit.arguments.items()))
        # The smallest may be the largest as well; what a custom `fit` requests is not known before it runs.
        if key in seen.checks and not trial.fit.has_custom_fit:
            return TriedPoint(seen.checks[key])
        seen.note(*_note_stopping(job, trial))
        refuse_large_model(job, trial.model, trial.schedule.batch_size)
        if group is not None:
            refuse_obstacle(group, trial.model, trial.rows, own_fit=trial.fit.has_custom_fit)
        listener, is_first = _Stopwatch(), not seen.checks
        try:
            with explain_inputs(trial.model, load_summary(Path(job.data))):
                short = _shorten(trial, is_short=is_short)
                done = short.train(listener) if group is None else short.train_on(group, listener)
        except NoObjectiveError:
            raise
        except TrialError:  # a loss that is not finite on a handful of rows means nothing for the study
            done = None
        finally:
            seen.record(trial.hp)
        model = trial.model if done is None or done.model is None else done.model
        seen.checks[key] = _summarize(trial, model, time.monotonic() - started, listener, is_short=is_short)
        if is_first:
            seen.note(*_list_notes(job, trial, done))
    return TriedPoint(seen.checks[key])


def _shorten(trial: UserModelTrial, *, is_short: bool) -> UserModelTrial:
    if not is_short:
        return trial
    once = replace(trial.schedule, epochs=1)
    return replace(trial, rows=trial.rows.take(_ROWS), schedule=once, fit=replace(trial.fit, is_short=True))


def _summarize(
    trial: UserModelTrial, model: keras.Model, first_s: float, listener: _Stopwatch, *, is_short: bool
) -> ModelCheck:
    values: Mapping[str, Any] = {**trial.hp.values, **trial.hp.given}
    batch_size = int(values.get("batch_size") or trial.schedule.batch_size)
    shares = ceil(trial.rows.train.rows / _ROWS) if is_short else 1
    return ModelCheck(
        parameters=model.count_params() if model.built else 0,
        memory_bytes=estimate_training_memory(model, batch_size) if model.built else 0,
        first_s=first_s,
        epoch_s=listener.seconds * shares,
        epochs=listener.expected or int(values.get("epochs") or trial.schedule.epochs),
    )


def _note_stopping(job: TrialJob, trial: UserModelTrial) -> list[str]:
    if not trial.fit.has_custom_fit or not job.training.early_stopping or is_stopping_requested(job.training):
        return []
    file = trial.fit.user.file.name
    return [f"early stopping is off, since {file} trains by its own fit; training.early_stopping turns it on"]


def _list_notes(job: TrialJob, trial: UserModelTrial, done: UserFitResult | None) -> list[str]:
    """Return what holds for every trial of the study, as far as one shows it."""
    notes = list(note_input_layers(trial.model, load_summary(Path(job.data))))
    if done is None:
        return notes
    model = done.model or trial.model
    notes += [*done.remarks, *note_unweighted_objective(model, job.metric, trial.rows)]
    notes += note_objective_of_steps(model, job.metric, done.fitted.best_value)
    if not can_score(model):
        notes.append(f"{type(model).__name__} has neither call nor test_step: only its training rows have metrics")
    if done.model is None:
        notes.append(f"the study will have scores and no model: {done.no_model}")
    else:
        notes += _try_to_save(job, done.model)
    return notes


def _try_to_save(job: TrialJob, model: keras.Model) -> list[str]:
    file = Path(job.folder) / "trial.keras"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_user_model(model, job, 0, file)
        return [f"a model loads together with its code only: {reason}" for reason in list_unregistered(file, job)]
    except ModelFileError as error:
        if not has_call(model):
            return [f"the study will have scores and weights, and no model: {error}"]
        instead = "a trial keeps its code, hyperparameters and weights in place of a file"
        return [f"Keras cannot load models like the smallest one of the space: {error}; {instead}"]
    finally:
        file.unlink(missing_ok=True)


class _Stopwatch:
    """Listener that measures the first epoch after its first batch."""

    def __init__(self) -> None:
        self._started = 0.0
        self.seconds = 0.0
        self.expected = 0

    def expect_epochs(self, epochs: int) -> None:
        """Record the number of epochs."""
        self.expected = epochs

    def record_batch(self) -> None:
        """Start the clock after the first step, which traces and compiles."""
        self._started = self._started or time.monotonic()

    def record_epoch(self, epoch: int, metrics: Mapping[str, float]) -> RungDecision:
        """Record the time of the first epoch; the training continues."""
        # Without a batch, `fit` calls back at its end only: all its time is the first step's.
        if self._started and not self.seconds:
            self.seconds = time.monotonic() - self._started
        return "go_on"
