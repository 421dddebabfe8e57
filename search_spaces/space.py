"""Parameters, the conditions under which they exist, and constraints between them: frozen, valid once made.

A parameter that is not active does not exist in a trial: it is not asked for, not recorded, and not padded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from search_spaces.constraint import Constraint

Value = float | int | str | bool | None

LARGEST: Final = 2**53
"""Beyond it whole numbers lose their last digits on the way through Optuna's database."""

_COMPARISON = re.compile(r"\s*(<=|>=|!=|<|>)\s*(.+?)\s*")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
    "!=": lambda one, other: not same(one, other),
}


class SpaceError(ValueError):
    """A parameter or a space that cannot be; the message says expected and got."""


@dataclass(frozen=True)
class Condition:
    """A parent's value that another parameter needs.

    Attributes:
        operator: `in` (one of `values`) or a comparison with the one value.
    """

    parent: str
    operator: str
    values: tuple[Value, ...]

    def holds(self, value: Value) -> bool:
        """Say whether the parent's value fulfils the condition."""
        if self.operator == "in":
            return any(same(value, wanted) for wanted in self.values)
        return _COMPARE[self.operator](value, self.values[0])

    def written(self) -> Value | list[Value]:
        """Return the condition as a space file writes it."""
        if self.operator == "in":
            return list(self.values) if len(self.values) > 1 else self.values[0]
        return f"{self.operator} {self.values[0]}"


@dataclass(frozen=True)
class Parameter:
    """What all parameters have in common.

    Attributes:
        default: value in the study's first trial; None where there is none.
        when: conditions on parents, all of which must hold for the parameter to exist.
    """

    name: str
    default: Value = field(default=None, kw_only=True)
    when: tuple[Condition, ...] = field(default=(), kw_only=True)

    @property
    def bounds(self) -> tuple[Value, ...]:
        """Return the values that decide whether a model can take all of them: the ends, or every choice."""
        raise NotImplementedError

    def contains(self, value: Value) -> bool:
        """Say whether the parameter can have a value."""
        raise NotImplementedError

    def grid(self, resolution: int) -> tuple[Value, ...]:
        """Return the values of a grid, at most `resolution` of them for a range without a step."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return the parameter as a space file writes it in full."""
        written: dict[str, Any] = {"type": type(self).__name__.lower(), **self._own_keys()}
        if self.default is not None:
            written["default"] = self.default
        if self.when:
            written["when"] = _written_conditions(self.when)
        return written

    def _own_keys(self) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True)
class _Range(Parameter):
    """A range of numbers, both ends included.

    Attributes:
        step: distance between values; with `log`, the factor from one to the next.
    """

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        for name, bound in (("low", self.low), ("high", self.high)):
            if not math.isfinite(bound) or abs(bound) > LARGEST:
                raise SpaceError(f"expected a finite {name} of at most 2**53 in size, got {bound}")
        if not self.low < self.high:
            raise SpaceError(f"low < high must hold, got low={self.low}, high={self.high}")
        if self.log and self.low <= 0:
            raise SpaceError(f"log needs low above 0, got low={self.low}")
        self._check_step()
        if self.default is not None and not self.contains(self.default):
            raise SpaceError(f"default must be one of its values, got {self.default!r}")

    def _check_step(self) -> None:
        if self.step is None:
            return
        least, reach = (1.0, self.high / self.low) if self.log else (0.0, self.high - self.low)
        what = "a factor above 1" if self.log else "a step above 0"
        if not math.isfinite(self.step) or not least < self.step <= reach:
            raise SpaceError(f"expected {what} and within the range (at most {reach:g}), got step={self.step}")

    @property
    def bounds(self) -> tuple[Value, ...]:
        """Return both ends."""
        return self.low, self.high

    @property
    def steps(self) -> int:
        """Return how many values the range has beyond `low`; 0 where it has no step."""
        if self.step is None:
            return 0
        reach = math.log(self.high / self.low, self.step) if self.log else (self.high - self.low) / self.step
        return math.floor(reach + 1e-9)

    def at(self, index: int) -> float | int:
        """Return the value `index` steps above `low`."""
        step = self.step or 0.0
        return self.low * step**index if self.log else self.low + index * step

    def contains(self, value: Value) -> bool:
        """Say whether a value is a number in the range, on a step where there are steps."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        tolerance = 1e-9 * max(abs(self.low), abs(self.high))
        if not self.low - tolerance <= value <= self.high + tolerance:
            return False
        return self.step is None or any(
            math.isclose(float(self.at(index)), value, rel_tol=1e-6, abs_tol=tolerance)
            for index in self._indexes_near(float(value))
        )

    def _indexes_near(self, value: float) -> Sequence[int]:
        if self.log:
            nearest = math.log(max(value, self.low) / self.low, self.step or 2.0)
        else:
            nearest = (value - self.low) / (self.step or 1.0)
        return [index for index in (math.floor(nearest), math.ceil(nearest)) if 0 <= index <= self.steps]

    def _spread(self, resolution: int) -> list[float]:
        if self.step is not None:
            return [float(self.at(index)) for index in range(self.steps + 1)]
        if resolution == 1:
            return [self.low]
        shares = [index / (resolution - 1) for index in range(resolution)]
        if self.log:
            return [self.low * (self.high / self.low) ** share for share in shares]
        return [self.low + (self.high - self.low) * share for share in shares]

    def _own_keys(self) -> dict[str, Any]:
        keys: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.log:
            keys["log"] = True
        if self.step is not None:
            keys["step"] = self.step
        return keys


@dataclass(frozen=True)
class Float(_Range):
    """A real number."""

    def grid(self, resolution: int) -> tuple[Value, ...]:
        """Return evenly spread values, on the logarithmic scale where `log` is on."""
        return tuple(min(max(value, self.low), self.high) for value in self._spread(resolution))


@dataclass(frozen=True)
class Int(_Range):
    """A whole number."""

    low: int = 0
    high: int = 1
    step: int | None = None

    def at(self, index: int) -> int:
        """Return the value `index` steps above `low`."""
        return int(super().at(index))

    def contains(self, value: Value) -> bool:
        """Say whether a value is a whole number in the range, on a step where there are steps."""
        return isinstance(value, int) and super().contains(value)

    def grid(self, resolution: int) -> tuple[Value, ...]:
        """Return every value of a short range, evenly spread ones of a long range."""
        if self.step is None and self.high - self.low < resolution:
            return tuple(range(self.low, self.high + 1))
        return tuple(dict.fromkeys(round(value) for value in self._spread(resolution)))


@dataclass(frozen=True)
class Categorical(Parameter):
    """One of a few values: numbers, strings, booleans or null."""

    choices: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if not self.choices:
            raise SpaceError("expected at least one choice, got none")
        for index, choice in enumerate(self.choices):
            if isinstance(choice, float) and not math.isfinite(choice):
                raise SpaceError(f"expected finite numbers as choices, got {choice}")
            if any(choice == other for other in self.choices[:index]):
                raise SpaceError(f"expected different choices, got {choice!r} twice (to Python, true is 1)")
        if self.default is not None and not self.contains(self.default):
            raise SpaceError(f"default must be one of the choices, got {self.default!r}")

    @property
    def bounds(self) -> tuple[Value, ...]:
        """Return every choice."""
        return self.choices

    def contains(self, value: Value) -> bool:
        """Say whether a value is one of the choices."""
        return any(same(value, choice) for choice in self.choices)

    def grid(self, resolution: int) -> tuple[Value, ...]:
        """Return every choice."""
        return self.choices

    def _own_keys(self) -> dict[str, Any]:
        return {"choices": list(self.choices)}


@dataclass(frozen=True)
class Fixed(Parameter):
    """A value that is not searched."""

    value: Value = None

    def __post_init__(self) -> None:
        if isinstance(self.value, float) and not math.isfinite(self.value):
            raise SpaceError(f"expected a finite number, got {self.value}")

    @property
    def bounds(self) -> tuple[Value, ...]:
        """Return the one value."""
        return (self.value,)

    def contains(self, value: Value) -> bool:
        """Say whether it is the one value."""
        return same(value, self.value)

    def grid(self, resolution: int) -> tuple[Value, ...]:
        """Return the one value."""
        return (self.value,)

    def _own_keys(self) -> dict[str, Any]:
        return {"value": self.value}


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        parameters: by name; parents stand before their children.
        constraints: expressions that a trial's values must fulfil.
        start_from: points that are tried first, by name; what a point leaves out is drawn.
    """

    parameters: Mapping[str, Parameter]
    constraints: tuple[Constraint, ...] = ()
    start_from: tuple[Mapping[str, Value], ...] = ()

    def is_active(self, parameter: Parameter, values: Mapping[str, Value]) -> bool:
        """Say whether a parameter exists beside the values of those before it."""
        return all(
            condition.parent in values and condition.holds(values[condition.parent]) for condition in parameter.when
        )

    def violated(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the constraints that a trial's values break; one on an inactive parameter is not broken."""
        return tuple(each.text for each in self.constraints if not each.holds(values))

    def points(self) -> tuple[Mapping[str, Value], ...]:
        """Return what to try first: the defaults together, where there are any, then `start_from`.

        Each point holds searched parameters only, and only those that are active in it.
        """
        defaults = {name: each.default for name, each in self.parameters.items() if each.default is not None}
        points = [self._searched(point) for point in ((defaults, *self.start_from) if defaults else self.start_from)]
        return tuple(point for point in points if point)

    def to_dict(self) -> dict[str, Any]:
        """Return the space in full, as plain data that `parse` reads back to an equal space."""
        written: dict[str, Any] = {name: each.to_dict() for name, each in self.parameters.items()}
        if self.constraints:
            written["constraints"] = [each.text for each in self.constraints]
        if self.start_from:
            written["start_from"] = [dict(point) for point in self.start_from]
        return written

    def _searched(self, point: Mapping[str, Value]) -> dict[str, Value]:
        known: dict[str, Value] = {}
        chosen: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if not self.is_active(parameter, known):
                continue
            if isinstance(parameter, Fixed):
                known[name] = parameter.value
            elif name in point:
                known[name] = chosen[name] = point[name]
        return chosen


def same(one: Value, other: Value) -> bool:
    """Say whether two values are the same to a person: true is not 1, but 1.0 is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def read_condition(parent: Parameter, written: object) -> Condition:
    """Return the condition that `when: {parent: written}` means.

    Raises:
        SpaceError: if it is none, or can never hold.
    """
    condition = _comparison(parent, written) or _membership(parent, written)
    if isinstance(parent, Int | Float) and condition.operator != "in":
        possible = any(condition.holds(bound) for bound in parent.bounds)
    elif isinstance(parent, Int | Float):
        possible = all(parent.contains(value) for value in condition.values)
    else:
        possible = any(condition.holds(value) for value in parent.bounds) and (
            condition.operator != "in" or all(parent.contains(value) for value in condition.values)
        )
    if not possible:
        raise SpaceError(f"can never hold: {parent.name} has {_domain(parent)}, got {written!r}")
    return condition


def _comparison(parent: Parameter, written: object) -> Condition | None:
    found = _COMPARISON.fullmatch(written) if isinstance(written, str) else None
    if found is None or parent.contains(str(written)):
        return None
    operator, text = found.groups()
    if isinstance(parent, Categorical | Fixed) and operator == "!=":
        match = [value for value in parent.bounds if str(value) == text or str(value).lower() == text]
        if match:
            return Condition(parent.name, operator, (match[0],))
    try:
        number = int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
    except ValueError:
        raise SpaceError(f"expected a number after {operator}, got {text!r}") from None
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in parent.bounds):
        raise SpaceError(f"{operator} compares numbers, and {parent.name} has {_domain(parent)}")
    return Condition(parent.name, operator, (number,))


def _membership(parent: Parameter, written: object) -> Condition:
    values = tuple(written) if isinstance(written, list) else (written,)
    if not values or not all(value is None or isinstance(value, bool | int | float | str) for value in values):
        raise SpaceError(f'expected a value, a list of values, or a comparison such as ">= 2", got {written!r}')
    return Condition(parent.name, "in", values)


def _domain(parameter: Parameter) -> str:
    if isinstance(parameter, _Range):
        return f"values from {parameter.low:g} to {parameter.high:g}"
    return f"the values {', '.join(map(str, parameter.bounds))}"


def _written_conditions(conditions: Sequence[Condition]) -> dict[str, Any] | list[dict[str, Any]]:
    """Return one mapping; a list of mappings where a parent has several conditions."""
    if len({condition.parent for condition in conditions}) == len(conditions):
        return {condition.parent: condition.written() for condition in conditions}
    return [{condition.parent: condition.written()} for condition in conditions]
