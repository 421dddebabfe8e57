"""Check of a user model before the first trial: build it, train it shortly, collect the hyperparameters it requests.

Only a build shows what the code requests, and only builds that take its branches show all of it. So the smallest and
the largest model are built, then one for each conditional scope that was never active, as KerasTuner does, and, if a
name of the space was still not requested, one for each choice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import psutil

from pipelines.engines.base import Channel
from pipelines.models.user_model import ModelCodeError, ModelFatalError, ModelRefusedError, load_user_model
from pipelines.training.build_limits import TimeIsUp, limit_seconds, limit_weights
from pipelines.training.errors import ModelTooLargeError, NoObjectiveError, TrialError
from pipelines.training.messages import ModelCheck, TrialJob, UserModel, UserModelCheck
from pipelines.training.model_size import estimate_training_memory, refuse_large_model
from pipelines.training.schedule import FIT_ARGUMENTS
from pipelines.training.user_model.trial import UserModelTrial, build_user_model_trial
from search_spaces.errors import InputError, KerastudyError, Problem, suggest_choice
from search_spaces.hypermodel_request import HyperparameterRequest, make_request
from search_spaces.hyperparameters import TrialHyperParameters
from search_spaces.values import Value

_MOST_BUILDS = 40  # chosen; exploring also ends after LONGEST_S
_ROWS = 64  # two steps of the default batch size: the first compiles, the second is timed
_BYTES_PER_WEIGHT = 4 * 4  # itself, its gradient, and two of the optimizer's

LONGEST_S = 60.0
"""Limit for training the largest model, and again for exploring the code."""


def check_user_model(jobs: tuple[TrialJob, ...], channel: Channel) -> UserModelCheck:
    """Build and shortly train the smallest and the largest model, and explore which hyperparameters the code requests.

    Raises:
        InputError: if the code fails, never requests a name of the space, or never reports the objective.
    """
    small, large = jobs
    seen = _Observations()
    try:
        # A custom `fit` shows its requests only when it runs: the first run gets no arguments from the space.
        smallest = _check(
            replace(small, user_model=replace(_require_user_model(small), requested=frozenset(FIT_ARGUMENTS))),
            _least,
            seen,
        )
        user_model = replace(_require_user_model(large), requested=seen.names)
        largest = _check_largest(replace(large, user_model=user_model), seen)
    except (ModelCodeError, ModelFatalError) as error:
        raise InputError(Problem(str(error), "model")) from error
    with suppress(TimeIsUp), limit_seconds(LONGEST_S):
        _explore(large, user_model, seen, channel)
        # Inside the limit: when time is up, a name that was not seen yet proves nothing.
        _refuse_unrequested(small.model, user_model, seen)
    return UserModelCheck(tuple(seen.requests), smallest, largest)


class _Observations:
    """Hyperparameters and conditional scopes that builds have shown."""

    def __init__(self) -> None:
        self.requests: dict[HyperparameterRequest, None] = {}
        self.opened: list[list[Any]] = []
        self.closed: list[list[Any]] = []
        self.checks: dict[object, ModelCheck] = {}

    @property
    def names(self) -> frozenset[str]:
        return frozenset(request.name for request in self.requests)

    def record(self, hp: keras_tuner.HyperParameters) -> None:
        """Record what a build, or a training, requested from `hp`."""
        self.requests |= dict.fromkeys(make_request(each) for each in hp.space)
        self.opened += [scope for scope in hp.active_scopes if scope not in self.opened]
        self.closed += [scope for scope in hp.inactive_scopes if scope not in self.closed]

    def list_unopened(self) -> list[list[Any]]:
        """Return the conditions of the scopes that were inactive in every build so far."""
        return [scope for scope in self.closed if scope not in self.opened]


def _require_user_model(job: TrialJob) -> UserModel:
    assert job.user_model is not None
    return job.user_model


def _check_largest(job: TrialJob, seen: _Observations) -> ModelCheck:
    """Check the largest model, within limits: ranges that only the code declares can be of any width."""
    try:
        with limit_seconds(LONGEST_S), _limit_to_memory():
            return _check(job, _most, seen)
    except TimeIsUp:
        return _make_refusal(f"trying it took longer than {LONGEST_S:g} s")
    except ModelTooLargeError as error:
        return _make_refusal(str(error))


def _limit_to_memory() -> AbstractContextManager[None]:
    most = int(psutil.virtual_memory().available / _BYTES_PER_WEIGHT)
    return limit_weights(most, f"it has more than {most:,} parameters, which do not fit into memory")


def _make_refusal(reason: str) -> ModelCheck:
    return ModelCheck(0, 0, 0.0, 0.0, 0, refused=reason)


def _check(job: TrialJob, choose: Callable[[HyperparameterRequest], Value], seen: _Observations) -> ModelCheck:
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(job.seed)
    started = time.monotonic()
    try:
        trial = build_user_model_trial(job, _require_user_model(job), 0, choose)
    except ModelRefusedError as refusal:
        return _make_refusal(str(refusal))
    seen.record(trial.hp)
    # By all values: names that only the code declares may differ where the space has one point.
    key = (frozenset(trial.hp.values.items()), frozenset(trial.fit.arguments.items()))
    if key in seen.checks:  # the smallest is the largest as well
        return seen.checks[key]
    refuse_large_model(job, trial.model, trial.schedule.batch_size)
    few = replace(trial, rows=trial.rows.take(_ROWS))
    listener = _OneEpochListener()
    try:
        few.train(listener)
    except ModelRefusedError as refusal:
        return _make_refusal(str(refusal))
    except NoObjectiveError as error:
        raise InputError(Problem(str(error), "objective.metric")) from error
    except TrialError:  # a loss that is not finite on a handful of rows means nothing for the study
        pass
    finally:
        seen.record(trial.hp)
    seen.checks[key] = _summarize_run(trial, time.monotonic() - started, listener)
    return seen.checks[key]


def _summarize_run(trial: UserModelTrial, first_s: float, listener: _OneEpochListener) -> ModelCheck:
    values = {**trial.hp.values, **trial.hp.given}
    batch_size = int(values.get("batch_size") or trial.schedule.batch_size)
    shares = ceil(trial.rows.train.rows / max(1, min(_ROWS, trial.rows.train.rows)))
    return ModelCheck(
        parameters=trial.model.count_params() if trial.model.built else 0,
        memory_bytes=estimate_training_memory(trial.model, batch_size) if trial.model.built else 0,
        first_s=first_s,
        epoch_s=listener.seconds * shares,
        epochs=listener.expected or int(values.get("epochs") or trial.schedule.epochs),
    )


class _OneEpochListener:
    """Listener that ends a training after its first epoch."""

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

    def record_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """End the training."""
        if self._started:  # else `fit` calls back at its end only, and all its time is the first step's
            self.seconds = time.monotonic() - self._started
        return True


def _explore(job: TrialJob, user_model: UserModel, seen: _Observations, channel: Channel) -> None:
    tried: list[list[Any]] = []
    builds = 0
    while builds < _MOST_BUILDS and (scopes := [scope for scope in seen.list_unopened() if scope not in tried]):
        tried.append(scopes[0])
        _build(job, user_model, {condition.name: condition.values[0] for condition in scopes[0]}, seen)
        builds += 1
        channel.beat()
    for forced in _list_single_choices(user_model, seen):
        if builds >= _MOST_BUILDS or not _list_unrequested(user_model, seen):
            return
        _build(job, user_model, forced, seen)
        builds += 1
        channel.beat()


def _build(job: TrialJob, user_model: UserModel, forced: Mapping[str, Value], seen: _Observations) -> None:
    """Build once with some values forced; a failure with them is ignored here."""
    possible = {name: value for name, value in forced.items() if _is_possible(user_model, name, value)}
    given = {**job.values, **{name: value for name, value in possible.items() if name in user_model.declared}}

    def choose(hyperparameter: Any) -> Value:
        request = make_request(hyperparameter)
        if request.name in user_model.declared:
            return request.default
        return possible[request.name] if request.name in possible else _most(request)

    hp = TrialHyperParameters(given, choose)
    try:
        with _limit_to_memory():
            load_user_model(job.model, Path(user_model.base)).build(hp)
    except (KerastudyError, MemoryError):
        return
    finally:
        seen.record(hp)


def _is_possible(user_model: UserModel, name: str, value: Value) -> bool:
    bounds = user_model.bounds.get(name)
    if bounds is None:
        return True
    if value in bounds:
        return True
    numbers = [each for each in (*bounds, value) if isinstance(each, int | float) and not isinstance(each, bool)]
    return len(numbers) == 3 and min(numbers[:2]) <= numbers[2] <= max(numbers[:2])


def _list_single_choices(user_model: UserModel, seen: _Observations) -> Iterator[Mapping[str, Value]]:
    for name, bounds in user_model.bounds.items():
        for value in bounds:
            yield {name: value}
    for request in list(seen.requests):
        if request.name not in user_model.declared and request.kind in ("choice", "boolean"):
            for value in request.list_ends():
                yield {request.name: value}


def _list_unrequested(user_model: UserModel, seen: _Observations) -> list[str]:
    return sorted(user_model.declared - seen.names - set(FIT_ARGUMENTS))


def _refuse_unrequested(model: str, user_model: UserModel, seen: _Observations) -> None:
    problems = [
        Problem(
            f'{model} never requests "{name}"; {suggest_choice(name, {*seen.names, *FIT_ARGUMENTS})}', f"space.{name}"
        )
        for name in _list_unrequested(user_model, seen)
    ]
    if problems:
        raise InputError(problems)


def _least(request: HyperparameterRequest) -> Value:
    return min(request.list_ends()) if _is_ordered(request) else request.default  # type: ignore[type-var]  # numbers


def _most(request: HyperparameterRequest) -> Value:
    return max(request.list_ends()) if _is_ordered(request) else request.default  # type: ignore[type-var]  # numbers


def _is_ordered(request: HyperparameterRequest) -> bool:
    return all(isinstance(value, bool | int | float) for value in request.list_ends())
