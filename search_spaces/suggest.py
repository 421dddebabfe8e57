"""A space and an Optuna trial make a trial's values; and the points of a space that need no Optuna.

Optuna refuses a logarithmic range with steps, so such a parameter is an index in Optuna, under `<name>#idx`. Fixed
parameters are no parameters to Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.space import Categorical, Fixed, Float, Int, Parameter, Space, Value

_INDEX = "#idx"


class ConstraintViolated(Exception):  # noqa: N818  # no error: the answer to a drawn point
    """A drawn point breaks constraints of the space, so no training is started with it.

    Attributes:
        values: the point.
        constraints: those that it breaks.
    """

    def __init__(self, values: Mapping[str, Value], constraints: tuple[str, ...]) -> None:
        super().__init__("; ".join(constraints))
        self.values = values
        self.constraints = constraints


def suggest(space: Space, trial: optuna.trial.BaseTrial) -> dict[str, Value]:
    """Return a trial's active values, parents first; the same ones when asked again for the same trial.

    Raises:
        ConstraintViolated: if the values break a constraint.
    """
    values: dict[str, Value] = {}
    for name, parameter in space.parameters.items():
        if space.is_active(parameter, values):
            values[name] = _suggested(parameter, trial)
    if broken := space.violated(values):
        raise ConstraintViolated(values, broken)
    return values


def distribution(parameter: Parameter) -> tuple[str, BaseDistribution] | None:
    """Return a parameter's name in Optuna and its distribution there; None for a fixed one."""
    if isinstance(parameter, Categorical):
        return parameter.name, CategoricalDistribution(parameter.choices)
    if isinstance(parameter, Int | Float) and parameter.log and parameter.step is not None:
        return parameter.name + _INDEX, IntDistribution(0, parameter.steps)
    if isinstance(parameter, Int):
        return parameter.name, IntDistribution(
            parameter.low, parameter.high, log=parameter.log, step=parameter.step or 1
        )
    if isinstance(parameter, Float):
        return parameter.name, FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    return None


def point_for_optuna(space: Space, point: Mapping[str, Value]) -> dict[str, Any]:
    """Return a point as `optuna.Study.enqueue_trial` takes it."""
    given: dict[str, Any] = {}
    for name, value in point.items():
        parameter = space.parameters[name]
        if isinstance(parameter, Int | Float) and parameter.log and parameter.step is not None:
            number = float(value) if isinstance(value, int | float) else parameter.low
            given[name + _INDEX] = round(math.log(number / parameter.low, parameter.step))
        elif not isinstance(parameter, Fixed):
            given[name] = value
    return given


def grid(space: Space, resolution: int = 5) -> Iterator[dict[str, Value]]:
    """Yield every distinct combination of active values that keeps the constraints.

    A range without a step contributes `resolution` values, spread evenly on its own scale.
    """

    def extended(names: list[str], values: dict[str, Value]) -> Iterator[dict[str, Value]]:
        if not names:
            if not space.violated(values):
                yield values
            return
        parameter = space.parameters[names[0]]
        if not space.is_active(parameter, values):
            yield from extended(names[1:], values)
            return
        for value in parameter.grid(resolution):
            yield from extended(names[1:], {**values, parameter.name: value})

    return extended(list(space.parameters), {})


def smallest(space: Space) -> dict[str, Value]:
    """Return the active values of the smallest model: numbers low, booleans false, few children."""
    return _extreme(space, _least, fewest=True)


def largest(space: Space) -> dict[str, Value]:
    """Return the active values of the largest model: numbers high, booleans true, many children."""
    return _extreme(space, _most, fewest=False)


def _suggested(parameter: Parameter, trial: optuna.trial.BaseTrial) -> Value:
    if isinstance(parameter, Fixed):
        return parameter.value
    if isinstance(parameter, Categorical):
        chosen: Value = trial.suggest_categorical(parameter.name, parameter.choices)
        return chosen
    if not isinstance(parameter, Int | Float):
        raise TypeError(parameter)
    if parameter.log and parameter.step is not None:
        return parameter.at(trial.suggest_int(parameter.name + _INDEX, 0, parameter.steps))
    if isinstance(parameter, Int):
        step = parameter.step or 1
        return trial.suggest_int(parameter.name, parameter.low, parameter.high, step=step, log=parameter.log)
    return trial.suggest_float(parameter.name, parameter.low, parameter.high, step=parameter.step, log=parameter.log)


def _extreme(space: Space, end: Callable[[Parameter], Value | None], *, fewest: bool) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, parameter in space.parameters.items():
        if not space.is_active(parameter, values):
            continue
        value = end(parameter)
        values[name] = _by_children(space, parameter, fewest=fewest) if value is None else value
    if space.violated(values):
        values = _nearest_that_keeps(space, values)
    return values


def _least(parameter: Parameter) -> Value | None:
    return min(parameter.bounds) if _is_ordered(parameter) else None  # type: ignore[type-var]  # checked to be numbers


def _most(parameter: Parameter) -> Value | None:
    return max(parameter.bounds) if _is_ordered(parameter) else None  # type: ignore[type-var]  # checked to be numbers


def _is_ordered(parameter: Parameter) -> bool:
    return all(isinstance(value, bool | int | float) for value in parameter.bounds)


def _by_children(space: Space, parameter: Parameter, *, fewest: bool) -> Value:
    def children(choice: Value) -> int:
        return sum(
            condition.holds(choice)
            for other in space.parameters.values()
            for condition in other.when
            if condition.parent == parameter.name
        )

    return (min if fewest else max)(parameter.bounds, key=children)


def _nearest_that_keeps(space: Space, extreme: Mapping[str, Value]) -> dict[str, Value]:
    """Return the first of a few thousand grid points that keeps the constraints and shares most with the extreme."""
    best: dict[str, Value] = dict(extreme)
    most = -1
    for _, point in zip(range(5000), grid(space, 3), strict=False):
        shared = sum(point.get(name) == value for name, value in extreme.items())
        if shared > most:
            best, most = point, shared
    return best
