"""Tries a study's own model before any trial is paid for: builds it, trains it for a moment, hears what it asks for.

Only a build shows what a person's code asks for, and only the builds that take its branches show all of it. So it is
built the smallest and the largest, then with each conditional scope opened that was never active, as KerasTuner does,
and, if a name of the space was still not asked for, with one choice after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import psutil

from pipelines.data.prepared import Part
from pipelines.engines.base import Channel
from pipelines.models.user_model import ModelCodeError, ModelFatalError, ModelRefusedError, load_user_model
from pipelines.training.batches import Rows
from pipelines.training.build_limits import TimeIsUp, limit_seconds, limit_weights
from pipelines.training.errors import ModelTooLargeError, NoObjectiveError, TrialError
from pipelines.training.messages import ModelCheck, TrialJob, UserModel
from pipelines.training.model_size import estimate_training_memory, refuse_large_model
from pipelines.training.schedule import FIT_ARGUMENTS
from pipelines.training.user_model.trial import UserModelTrial, build_user_model_trial
from search_spaces.errors import InputError, KerastudyError, Problem, nearest
from search_spaces.hypermodel_request import HyperparameterRequest, make_request
from search_spaces.hyperparameters import GivenHyperParameters
from search_spaces.values import Value

_MOST_BUILDS = 40
_ROWS = 64
_BYTES_PER_WEIGHT = 4 * 4  # itself, its gradient, and two of the optimizer's

LONGEST_S = 60.0
"""How long the largest model may be tried, and then the code explored."""


@dataclass(frozen=True)
class UserModelCheck:
    """What trying a study's own model showed.

    Attributes:
        asked: every hyperparameter that the code was seen to ask for.
    """

    asked: tuple[HyperparameterRequest, ...]
    smallest: ModelCheck
    largest: ModelCheck


def check_user_model(jobs: tuple[TrialJob, TrialJob], channel: Channel) -> UserModelCheck:
    """Build and train for a moment the smallest and the largest model, and explore what the code asks for.

    Raises:
        InputError: if the code fails, never asks for a name of the space, or never reports the objective.
    """
    small, large = jobs
    seen = _Seen()
    try:
        # What the code's own `fit` asks for is known after it ran once, without arguments of ours.
        smallest = _check(
            replace(small, user_model=replace(_user_model(small), asked=frozenset(FIT_ARGUMENTS))), _least, seen
        )
        user_model = replace(_user_model(large), asked=seen.names)
        largest = _check_largest(replace(large, user_model=user_model), seen)
    except (ModelCodeError, ModelFatalError) as error:
        raise InputError(Problem(str(error), "model")) from error
    with suppress(TimeIsUp), limit_seconds(LONGEST_S):
        _explore(large, user_model, seen, channel)
        _refuse_unasked(small.model, user_model, seen)
    return UserModelCheck(tuple(seen.requests), smallest, largest)


class _Seen:
    """The hyperparameters and the conditional scopes that builds have shown."""

    def __init__(self) -> None:
        self.requests: dict[HyperparameterRequest, None] = {}
        self.opened: list[list[Any]] = []
        self.closed: list[list[Any]] = []
        self.checks: dict[object, ModelCheck] = {}

    @property
    def names(self) -> frozenset[str]:
        return frozenset(request.name for request in self.requests)

    def note(self, hp: keras_tuner.HyperParameters) -> None:
        """Take note of what a build, or a training, asked of `hp`."""
        self.requests |= dict.fromkeys(make_request(each) for each in hp.space)
        self.opened += [scope for scope in hp.active_scopes if scope not in self.opened]
        self.closed += [scope for scope in hp.inactive_scopes if scope not in self.closed]

    def never_opened(self) -> list[list[Any]]:
        """Return the conditions of the scopes that were inactive in every build so far."""
        return [scope for scope in self.closed if scope not in self.opened]


def _user_model(job: TrialJob) -> UserModel:
    assert job.user_model is not None
    return job.user_model


def _check_largest(job: TrialJob, seen: _Seen) -> ModelCheck:
    """Check the largest model, within bounds: ranges that only the code declares may be as wide as they like."""
    try:
        with limit_seconds(LONGEST_S), _no_more_than_fits():
            return _check(job, _most, seen)
    except TimeIsUp:
        return _not_tried(f"trying it took longer than {LONGEST_S:g} s")
    except ModelTooLargeError as error:
        return _not_tried(str(error))


def _no_more_than_fits() -> AbstractContextManager[None]:
    most = int(psutil.virtual_memory().available / _BYTES_PER_WEIGHT)
    return limit_weights(most, f"it has more than {most:,} parameters, which do not fit into memory")


def _not_tried(reason: str) -> ModelCheck:
    return ModelCheck(0, 0, 0.0, 0.0, 0, refused=reason)


def _check(job: TrialJob, choose: Callable[[HyperparameterRequest], Value], seen: _Seen) -> ModelCheck:
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(job.seed)
    started = time.monotonic()
    try:
        trial = build_user_model_trial(job, _user_model(job), 0, choose)
    except ModelRefusedError as refusal:
        return _not_tried(str(refusal))
    seen.note(trial.hp)
    key = (frozenset(trial.hp.values.items()), frozenset(trial.how.arguments.items()))
    if key in seen.checks:  # the smallest is the largest as well
        return seen.checks[key]
    refuse_large_model(job, trial.model, trial.schedule.batch_size)
    few = replace(trial, rows=Rows(_first(trial.rows.train), _first(trial.rows.validation), trial.rows.class_weight))
    listener = _OneEpoch()
    try:
        few.train(listener)
    except ModelRefusedError as refusal:
        return _not_tried(str(refusal))
    except NoObjectiveError as error:
        raise InputError(Problem(str(error), "objective.metric")) from error
    except TrialError:  # a loss that is not finite on a handful of rows says nothing of the study
        pass
    finally:
        seen.note(trial.hp)
    seen.checks[key] = _measured(trial, time.monotonic() - started, listener)
    return seen.checks[key]


def _measured(trial: UserModelTrial, first_s: float, listener: _OneEpoch) -> ModelCheck:
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


class _OneEpoch:
    """Ends a training after its first epoch."""

    def __init__(self) -> None:
        self._started = 0.0
        self.seconds = 0.0
        self.expected = 0

    def expects(self, epochs: int) -> None:
        """Take note of how many epochs there would be."""
        self.expected = epochs

    def batch(self) -> None:
        """Take note that the first step, which traces and compiles, is over."""
        self._started = self._started or time.monotonic()

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """End the training."""
        if self._started:  # else it calls nothing back but the end, and all its time is the first step's
            self.seconds = time.monotonic() - self._started
        return True


def _first(part: Part) -> Part:
    return Part({name: values[:_ROWS] for name, values in part.x.items()}, part.y[:_ROWS])


def _explore(job: TrialJob, user_model: UserModel, seen: _Seen, channel: Channel) -> None:
    tried: list[list[Any]] = []
    builds = 0
    while builds < _MOST_BUILDS and (scopes := [scope for scope in seen.never_opened() if scope not in tried]):
        tried.append(scopes[0])
        _build(job, user_model, {condition.name: condition.values[0] for condition in scopes[0]}, seen)
        builds += 1
        channel.beat()
    for forced in _one_by_one(user_model, seen):
        if builds >= _MOST_BUILDS or not _unasked(user_model, seen):
            return
        _build(job, user_model, forced, seen)
        builds += 1
        channel.beat()


def _build(job: TrialJob, user_model: UserModel, forced: Mapping[str, Value], seen: _Seen) -> None:
    """Build once with some values forced; code that fails with them is no matter here."""
    possible = {name: value for name, value in forced.items() if _is_possible(user_model, name, value)}
    given = {**job.values, **{name: value for name, value in possible.items() if name in user_model.declared}}

    def choose(hyperparameter: Any) -> Value:
        request = make_request(hyperparameter)
        if request.name in user_model.declared:
            return request.default
        return possible[request.name] if request.name in possible else _most(request)

    hp = GivenHyperParameters(given, choose)
    try:
        with _no_more_than_fits():
            load_user_model(job.model, Path(user_model.base)).build(hp)
    except (KerastudyError, MemoryError):
        return
    finally:
        seen.note(hp)


def _is_possible(user_model: UserModel, name: str, value: Value) -> bool:
    bounds = user_model.bounds.get(name)
    if bounds is None:
        return True
    if value in bounds:
        return True
    numbers = [each for each in (*bounds, value) if isinstance(each, int | float) and not isinstance(each, bool)]
    return len(numbers) == 3 and min(numbers[:2]) <= numbers[2] <= max(numbers[:2])


def _one_by_one(user_model: UserModel, seen: _Seen) -> Iterator[Mapping[str, Value]]:
    for name, bounds in user_model.bounds.items():
        for value in bounds:
            yield {name: value}
    for request in list(seen.requests):
        if request.name not in user_model.declared and request.kind in ("choice", "boolean"):
            for value in request.ends():
                yield {request.name: value}


def _unasked(user_model: UserModel, seen: _Seen) -> list[str]:
    return sorted(user_model.declared - seen.names - set(FIT_ARGUMENTS))


def _refuse_unasked(model: str, user_model: UserModel, seen: _Seen) -> None:
    problems = [
        Problem(f'{model} never asks for "{name}"; {nearest(name, {*seen.names, *FIT_ARGUMENTS})}', f"space.{name}")
        for name in _unasked(user_model, seen)
    ]
    if problems:
        raise InputError(problems)


def _least(request: HyperparameterRequest) -> Value:
    return min(request.ends()) if _is_ordered(request) else request.default  # type: ignore[type-var]  # numbers


def _most(request: HyperparameterRequest) -> Value:
    return max(request.ends()) if _is_ordered(request) else request.default  # type: ignore[type-var]  # numbers


def _is_ordered(request: HyperparameterRequest) -> bool:
    return all(isinstance(value, bool | int | float) for value in request.ends())
