"""Check of a user model before the first trial: build it, train it shortly, collect the hyperparameters it requests.

Only a run shows what the code requests, and only runs that take its branches show all of it. So the smallest and the
largest model are trained, then one point for each conditional scope that was never active, as KerasTuner does, and, if
a name of the space was still not requested, one for each choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from pipelines.data.prepared import DataSummary
from pipelines.data.prepared_folder import load_summary
from pipelines.engines.base import Channel
from pipelines.models.user_model import ModelFatalError, load_user_model
from pipelines.spec.code_references import find_stopped_import
from pipelines.training.build_limits import TimeIsUp, limit_seconds, limit_weights
from pipelines.training.errors import ModelTooLargeError
from pipelines.training.messages import TrialJob, UserModel, UserModelCheck
from pipelines.training.schedule import FIT_ARGUMENTS
from pipelines.training.user_model import short_training
from pipelines.training.user_model.observations import Observations
from pipelines.training.user_model.short_training import TriedPoint, refuse, require_user_model, try_point
from search_spaces.errors import InputError, KerastudyError, Problem, suggest_choice
from search_spaces.hypermodel_request import HyperparameterRequest, make_request
from search_spaces.hyperparameters import TrialHyperParameters
from search_spaces.values import Value

_MOST_BUILDS = 40  # chosen; exploring also ends after LONGEST_S
_BYTES_PER_WEIGHT = 4 * 4  # itself, its gradient, and two of the optimizer's


def check_user_model(jobs: tuple[TrialJob, ...], channel: Channel) -> UserModelCheck:
    """Build and shortly train the smallest and the largest model, and explore which hyperparameters the code requests.

    Args:
        jobs: the smallest and the largest model, and points between them that are tried where both fail.
        channel: receives signs of life.

    Raises:
        InputError: if the code fails at every point, never requests a name of the space, or never reports the
            objective.
    """
    small, large, *others = jobs
    seen = Observations()
    try:
        # A custom `fit` shows its requests only when it runs: the first run gets no arguments from the space.
        smallest = try_point(small, _least, seen, arguments=False)
        largest = _try_largest(large, seen)
        _refuse_if_all_fail(smallest, largest, others, seen, Path(small.data))
    except ModelFatalError as error:
        raise InputError(Problem(str(error), "model")) from error
    for name, tried in (("smallest", smallest), ("largest", largest)):
        if tried.error:
            seen.note(f"the {name} model of the space fails, as each trial with its values will: {tried.error}")
    if (stop := find_stopped_import(small.model, Path(require_user_model(small).base), "model")) is not None:
        seen.note(str(stop))
    user_model = replace(require_user_model(large), requested=seen.names)
    with suppress(TimeIsUp), limit_seconds(short_training.LONGEST_S):
        _explore(large, user_model, seen, channel)
        # Inside the limit: when time is up, a name that was not seen yet proves nothing.
        if seen.is_complete:
            _refuse_unrequested(small.model, user_model, seen)
    return UserModelCheck(tuple(seen.requests), smallest.check, largest.check, tuple(seen.notes))


def _try_largest(job: TrialJob, seen: Observations) -> TriedPoint:
    """Try the largest model, within the memory: ranges that only the code declares can be of any width."""
    try:
        with _limit_to_memory():
            return try_point(job, _most, seen)
    except ModelTooLargeError as error:
        return TriedPoint(refuse(str(error)))


def _limit_to_memory() -> AbstractContextManager[None]:
    most = int(psutil.virtual_memory().available / _BYTES_PER_WEIGHT)
    return limit_weights(most, f"it has more than {most:,} parameters, which do not fit into memory")


def _refuse_if_all_fail(
    smallest: TriedPoint, largest: TriedPoint, others: list[TrialJob], seen: Observations, data: Path
) -> None:
    """Refuse code that fails wherever it was tried: an extreme point alone may be one that its author excludes."""
    if not smallest.error or not (largest.error or largest.check.refused):
        return
    if not any(not try_point(job, _choose_default, seen).error for job in others):
        advice = _explain_width(load_summary(data)) if "shape" in smallest.error else ""
        raise InputError(Problem(smallest.error + advice, "model"))


def _explain_width(summary: DataSummary) -> str:
    """Return how wide the rows of preprocessed columns are; empty where the model gets something else."""
    if summary.given is not None or not summary.features.dense or summary.raw[0].kind == "array":
        return ""
    return (
        f"; the model gets {summary.features.dense} numbers a row, made of {len(summary.raw)} columns "
        "(data.preprocess: none gives it each column as it is)"
    )


def _explore(job: TrialJob, user_model: UserModel, seen: Observations, channel: Channel) -> None:
    tried: list[list[Any]] = []
    builds = 0
    while builds < _MOST_BUILDS and (scopes := [scope for scope in seen.list_unopened() if scope not in tried]):
        tried.append(scopes[0])
        _try(job, user_model, {condition.name: condition.values[0] for condition in scopes[0]}, seen)
        builds += 1
        channel.beat()
    for forced in _list_single_choices(user_model, seen):
        if builds >= _MOST_BUILDS or not _list_unrequested(user_model, seen):
            return
        _try(job, user_model, forced, seen)
        builds += 1
        channel.beat()


def _try(job: TrialJob, user_model: UserModel, forced: Mapping[str, Value], seen: Observations) -> None:
    """Build once with some values forced, and train where `fit` is custom; a failure with them is ignored here."""
    possible = {name: value for name, value in forced.items() if _is_possible(user_model, name, value)}
    given = {**job.values, **{name: value for name, value in possible.items() if name in user_model.declared}}

    def choose(request: HyperparameterRequest) -> Value:
        if request.name in user_model.declared:
            return request.default
        return possible[request.name] if request.name in possible else _most(request)

    with suppress(KerastudyError, MemoryError), _limit_to_memory():
        user = load_user_model(job.model, Path(user_model.base))
        if user.has_custom_fit:
            plain = replace(user_model, searches=True, deferred=frozenset())
            try_point(replace(job, values=given, user_model=plain), choose, seen)
            return
        hp = TrialHyperParameters(given, lambda hyperparameter: choose(make_request(hyperparameter)))
        try:
            user.build(hp)
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


def _list_single_choices(user_model: UserModel, seen: Observations) -> Iterator[Mapping[str, Value]]:
    for name, bounds in user_model.bounds.items():
        for value in bounds:
            yield {name: value}
    for request in list(seen.requests):
        if request.name not in user_model.declared and request.kind in ("choice", "boolean"):
            for value in request.list_ends():
                yield {request.name: value}


def _list_unrequested(user_model: UserModel, seen: Observations) -> list[str]:
    return sorted(user_model.declared - seen.names - set(FIT_ARGUMENTS))


def _refuse_unrequested(model: str, user_model: UserModel, seen: Observations) -> None:
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


def _choose_default(request: HyperparameterRequest) -> Value:
    return request.default
