"""Values of a trial, drawn from a space by Optuna; and the grid and the extremes of a space.

Parameters have the same names in Optuna, with two exceptions: fixed ones do not exist there, and one with steps that
Optuna refuses (`log` with a `step`) is drawn as the number of its steps, under `<name>#idx`.

Constraints are checked after all values are drawn: Optuna's samplers do not use them. A point that breaks one is
rejected before any training, and the next one is drawn. Optuna stores the values that it has drawn for a trial, so a
new draw takes a new Optuna trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.conditions import Condition
from search_spaces.parameters import Categorical, Fixed, Float, Int, Parameter
from search_spaces.space import Space
from search_spaces.values import Value, is_number, is_same

INDEX = "#idx"
# Chosen, to end the search for an extreme that no point may reach, and the counting of points.
_TRIES = 20_000
# A float's noise is 1e-16 of its size: with such a step still only 1e-9 of the step.
_FINEST = Decimal("1e-7")
_POINTS = 9
_MOST_POINTS = 100
_LONGEST_STEPS = 1000

GRID_RESOLUTION = 5
"""Values of a range in a grid; chosen: four ranges make 625 points."""

MOST_COUNTED = 10_000
"""Points of a space up to which they are counted; chosen, as a study seldom tries more."""


class ConstraintViolation(Exception):  # noqa: N818  # an outcome of a draw, not a failure
    """A drawn point breaks constraints of the space; no training is started with it.

    Attributes:
        values: the point's active values.
        constraints: the broken ones, as written.
    """

    def __init__(self, values: Mapping[str, Value], constraints: tuple[str, ...]) -> None:
        super().__init__("; ".join(constraints))
        self.values = values
        self.constraints = constraints


def suggest(space: Space, trial: optuna.trial.BaseTrial) -> dict[str, Value]:
    """Return a trial's active values, fixed ones included, parents first.

    A second call for the same trial returns the same values.

    Raises:
        ConstraintViolation: if the values break a constraint.
    """
    values: dict[str, Value] = {}
    for name, parameter in space.parameters.items():
        if space.is_active(parameter, values):
            values[name] = _suggest_parameter(parameter, trial)
    if broken := space.find_violations(values):
        raise ConstraintViolation(values, broken)
    return values


def make_distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution of every searched parameter, by its name in Optuna."""
    return dict(found for parameter in space.declared if (found := make_distribution(parameter)))


def make_distribution(parameter: Parameter) -> tuple[str, BaseDistribution] | None:
    """Return a parameter's name in Optuna and its distribution there; None for a fixed one."""
    if isinstance(parameter, Fixed):
        return None
    if isinstance(parameter, Categorical):
        return parameter.name, CategoricalDistribution(parameter.choices)
    if _is_indexed(parameter):
        return parameter.name + INDEX, IntDistribution(0, (parameter.count or 1) - 1)
    if isinstance(parameter, Int):
        high = parameter.get_value(parameter.count - 1)  # a step may end below `high`, which Optuna warns of
        return parameter.name, IntDistribution(parameter.low, high, log=parameter.log, step=parameter.step or 1)
    high_float = parameter.high if parameter.count is None else parameter.get_value(parameter.count - 1)
    return parameter.name, FloatDistribution(parameter.low, high_float, log=parameter.log, step=parameter.step)


def make_optuna_point(space: Space, point: Mapping[str, Value]) -> dict[str, Value]:
    """Return values of a space in the form of `optuna.Study.enqueue_trial`."""
    given: dict[str, Value] = {}
    for name, value in point.items():
        parameter = space.parameters[name]
        if isinstance(parameter, (Int, Float)) and _is_indexed(parameter):
            assert is_number(value)
            given[name + INDEX] = parameter.find_index(value)
        elif isinstance(parameter, Categorical):
            # 64.0 is the choice 64, and the trial gets the choice as the space has it.
            given[name] = next((choice for choice in parameter.choices if is_same(choice, value)), value)
        elif not isinstance(parameter, Fixed):
            given[name] = float(value) if isinstance(parameter, Float) and is_number(value) else value
    return given


def generate_grid(space: Space, *, resolution: int = GRID_RESOLUTION) -> Iterator[dict[str, Value]]:
    """Yield every distinct combination of active values that satisfies the constraints; first parameters vary slowest.

    A range contributes `resolution` values, spread evenly (on a logarithmic scale for `log`); all of its values where
    there are no more, or where it has a step and at most 1000 of them.
    """
    return _generate_combinations(space, lambda parameter: list_grid_values(parameter, resolution))


def generate_points(space: Space, *, every: bool) -> Iterator[dict[str, Value]]:
    """Yield points that keep the constraints.

    Args:
        space: the space.
        every: all points, of a space that `count_points` counts; else those that a bounded search of its grid finds.
    """
    if every:
        return _generate_combinations(space, lambda parameter: list_grid_values(parameter, MOST_COUNTED))
    return _generate_combinations(space, list_grid_values, tries=_TRIES)


def list_grid_values(parameter: Parameter, resolution: int = GRID_RESOLUTION) -> tuple[Value, ...]:
    """Return the values of a parameter that a grid of so many values a range tries; see `generate_grid`."""
    if isinstance(parameter, (Categorical, Fixed)):
        return parameter.bounds
    stepped = parameter.step is not None and (parameter.count or 0) <= _LONGEST_STEPS
    return parameter.spread(_LONGEST_STEPS if stepped else resolution)


def count_points(space: Space, *, grid: bool = False) -> int | None:
    """Return the number of distinct points that keep the constraints; None where there are too many to count.

    Args:
        space: the space; a fixed parameter and one whose condition does not hold add no points.
        grid: whether to count the points of its grid alone.
    """
    values: dict[str, tuple[Value, ...]] = {}
    for parameter in space.declared:
        if isinstance(parameter, (Int, Float)) and not grid and (parameter.count or math.inf) > MOST_COUNTED:
            return None
        values[parameter.name] = list_grid_values(parameter, GRID_RESOLUTION if grid else MOST_COUNTED)
    tries = 0

    def list_untried(parameter: Parameter) -> tuple[Value, ...]:
        nonlocal tries
        tries += len(values[parameter.name])
        return values[parameter.name] if tries <= _TRIES else ()

    found = sum(1 for _ in _generate_combinations(space, list_untried))
    return found if tries <= _TRIES and found <= MOST_COUNTED else None


def find_smallest(space: Space) -> dict[str, Value]:
    """Return the active values at the small end: low numbers, false, the text with the fewest child parameters.

    Where these break a constraint, the nearest values that satisfy all of them, if a bounded search finds any.
    """
    return _find_extreme(space, largest_first=False)


def find_largest(space: Space) -> dict[str, Value]:
    """Return the active values at the large end; see `smallest`."""
    return _find_extreme(space, largest_first=True)


def find_most(space: Space, name: str) -> Value | None:
    """Return the largest value that a parameter has in any point; None where the space does not declare it.

    With constraints it is the largest that a bounded search finds, and where that finds none the end of the range.
    """
    if (parameter := space.parameters.get(name)) is None:
        return None
    tests, waiting = dict[str, list[Condition]](), [parameter]
    while waiting:
        for test in waiting.pop().when:
            tests.setdefault(test.parent, []).append(test)
            waiting.append(space.parameters[test.parent])
    # First what decides that it exists, then itself, then what constraints link it to: they are small for its sake.
    linked = {each for constraint in space.constraints if name in constraint.names for each in constraint.names}
    first = [each for each in space.declared if each.name in tests]
    others = [each for each in space.declared if each.name not in tests and each is not parameter]
    others.sort(key=lambda each: each.name not in linked)

    def order_values(each: Parameter) -> tuple[Value, ...]:
        points = _MOST_POINTS if each is parameter else _POINTS
        values = list_grid_values(each, points) if isinstance(each, (Int, Float)) else each.bounds
        fit = [value for value in values if all(test.holds(value) for test in tests.get(each.name, ()))]
        return tuple(sorted(fit, key=lambda value: _rank_choice(value, ()), reverse=True))

    ordered = replace(space, declared=(*first, parameter, *others), start_from=())
    found = next(_generate_combinations(ordered, order_values, tries=_TRIES), dict[str, Value]())
    return found.get(name, max(parameter.bounds, key=lambda value: _rank_choice(value, ())))


def _suggest_parameter(parameter: Parameter, trial: optuna.trial.BaseTrial) -> Value:
    found = make_distribution(parameter)
    if isinstance(parameter, Fixed) or found is None:
        return parameter.bounds[0]
    name, declared = found
    if isinstance(parameter, Categorical):
        choice: Value = trial.suggest_categorical(name, parameter.choices)
        return choice
    if isinstance(declared, FloatDistribution):
        # At the end of a range Optuna gives NumPy's number, whose text in MLflow would be another one.
        drawn = float(trial.suggest_float(name, declared.low, declared.high, step=declared.step, log=declared.log))
    else:
        assert isinstance(declared, IntDistribution)
        drawn = trial.suggest_int(name, declared.low, declared.high, step=declared.step, log=declared.log)
    if _is_indexed(parameter):
        return parameter.get_value(int(drawn))
    # Optuna adds steps up in floating point: 0.30000000000000004 for 0.3.
    return parameter.get_value(parameter.find_index(drawn)) if parameter.step is not None else drawn


def _is_indexed(parameter: Int | Float) -> bool:
    """Return whether it is the number of a step that is drawn, because Optuna cannot draw the steps themselves."""
    if parameter.step is None or parameter.count is None:
        return False
    if parameter.log or isinstance(parameter, Int):
        return parameter.log
    return not can_draw_steps(parameter.low, parameter.get_value(parameter.count - 1), parameter.step)


def can_draw_steps(low: float, last: float, step: float) -> bool:
    """Return whether Optuna's steps of a float end at `last`, and whether it accepts the values between.

    Optuna divides the range by the step in decimal digits, where 3 x 0.3333333333333333 is not 1. It counts the steps
    to a value in floating point, and rejects a value that is 1e-8 of a step off.
    """
    first, end, size = (Decimal(str(value)) for value in (low, last, step))
    return (end - first) % size == 0 and size >= _FINEST * max(abs(first), abs(end))


def _generate_combinations(
    space: Space, values_of: Callable[[Parameter], tuple[Value, ...]], tries: float = math.inf
) -> Iterator[dict[str, Value]]:
    """Yield the combinations depth first, leaving a branch as soon as it breaks a constraint.

    Args:
        space: the space whose active parameters are combined.
        values_of: function for the values of a parameter, in the order of the tries.
        tries: number of values that are tried before the search ends.
    """
    # A stack instead of recursion: a space may have 500 parameters.
    chosen: list[tuple[int, Iterator[Value]]] = []
    values: dict[str, Value] = {}
    position: int | None = 0
    while position is not None:
        position = _find_next_active(space, values, position)
        if position is None:
            yield dict(values)
        else:
            chosen.append((position, iter(values_of(space.declared[position]))))
        position = None
        while chosen and position is None and tries > 0:
            tries -= 1
            position = _advance(space, chosen, values)


def _find_next_active(space: Space, values: Mapping[str, Value], position: int) -> int | None:
    parameters = enumerate(space.declared[position:], position)
    return next((index for index, parameter in parameters if space.is_active(parameter, values)), None)


def _advance(space: Space, chosen: list[tuple[int, Iterator[Value]]], values: dict[str, Value]) -> int | None:
    """Give the latest parameter its next value; return the position to continue at, None for another try."""
    position, left = chosen[-1]
    name = space.declared[position].name
    values.pop(name, None)
    for value in left:
        values[name] = value
        return None if space.find_violations(values) else position + 1
    chosen.pop()
    return None


def _find_extreme(space: Space, *, largest_first: bool) -> dict[str, Value]:
    children = _group_children(space)

    def order_values(parameter: Parameter) -> tuple[Value, ...]:
        if isinstance(parameter, (Int, Float)):
            values = list_grid_values(parameter, _POINTS)
        else:
            values = tuple(
                sorted(parameter.bounds, key=lambda value: _rank_choice(value, children.get(parameter.name, ())))
            )
        return values[::-1] if largest_first else values

    # Constraints that the bounded search cannot satisfy must not leave a caller without any values.
    unconstrained = next(_generate_combinations(replace(space, constraints=(), start_from=()), order_values))
    return next(_generate_combinations(space, order_values, tries=_TRIES), unconstrained)


def _group_children(space: Space) -> dict[str, list[Condition]]:
    children: dict[str, list[Condition]] = {}
    for parameter in space.declared:
        for test in parameter.when:
            children.setdefault(test.parent, []).append(test)
    return children


def _rank_choice(value: Value, children: Iterable[Condition]) -> tuple[int, float]:
    """Return the rank of a choice: null, then numbers and false and true, then text by its number of children."""
    if isinstance(value, str):
        return 2, sum(test.holds(value) for test in children)
    return (0, 0) if value is None else (1, value)
