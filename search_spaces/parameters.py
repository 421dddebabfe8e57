"""Parameters of four kinds: float, int, categorical and fixed; frozen, and checked on construction.

Numbers with a `step` take the values low, low + step, low + 2 step, ... up to high; with `log` and a `step` they take
low, low x step, low x step^2, ... as in KerasTuner. `high` itself is among them only if a step reaches it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final, TypeGuard

from search_spaces.conditions import Condition, write_when
from search_spaces.errors import Fault, InputError, Problem, suggest_choice
from search_spaces.steps import count_log_steps, divide_evenly, interpolate, spread_indexes, to_decimal
from search_spaces.values import Value, describe, format_value, is_number, is_same, make_key
from search_spaces.yaml_document import format_path

RESERVED = ("extends", "drop", "constraints", "start_from")
# Chosen: Optuna stores the whole list again with each trial.
MAX_CHOICES = 1000
# Optuna stores whole numbers as floats, in which each one up to here is exact.
EXACT = 2**53
_LARGEST = 1e150  # so that the quotient of two bounds is finite
# All of these characters are valid in the name of a parameter in MLflow.
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_./: -]{0,98}[A-Za-z0-9_])?")


# An enum, because type checkers narrow to its member.
class Unset(Enum):
    """Type of `UNSET`, a default that was not given, where null is a value."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class InvalidSpaceError(InputError):
    """An invalid parameter or space, with the faults and their keys inside it."""

    def __init__(self, inside: tuple[str, ...], faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(Problem(fault.message, format_path((*inside, *fault.keys))) for fault in self.faults)


@dataclass(frozen=True)
class Float:
    """A real number between `low` and `high`, both included."""

    name: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    default: float | None = None
    when: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        # Before `float`, which would turn true and text into numbers.
        _refuse(self.name, self.when, _find_numeric_faults(self))
        for key in ("low", "high", "step", "default"):
            value = getattr(self, key)
            object.__setattr__(self, key, None if value is None else float(value))
        _refuse(self.name, (), _find_default_faults(self))

    @property
    def bounds(self) -> tuple[Value, ...]:
        """The smallest and the largest value."""
        return (self.low, self.high if self.count is None else self.get_value(self.count - 1))

    @property
    def count(self) -> int | None:
        """Number of values; None without a step."""
        if self.step is None:
            return None
        if self.log:
            return count_log_steps(self.low, self.high, self.step) + 1
        # In decimal digits, as the file has them: in floating point 0.7 // 0.1 is 6.
        return int((to_decimal(self.high) - to_decimal(self.low)) // to_decimal(self.step)) + 1

    def get_value(self, index: int) -> float:
        """Return the value after `index` steps (with a `step` only)."""
        assert self.step is not None
        if index == 0:
            return self.low
        if self.log:
            # Twelve digits leave the noise out: 1e-6 * 10**2 is 9.999999999999999e-05.
            return min(self.high, float(f"{self.low * self.step**index:.12g}"))
        return float(to_decimal(self.low) + index * to_decimal(self.step))

    def find_index(self, value: float) -> int:
        """Return the number of steps to the value nearest to `value` (with a `step` only)."""
        assert self.step is not None
        assert self.count is not None
        if self.log:
            index = round(math.log(value / self.low) / math.log(self.step))
        else:
            index = round((value - self.low) / self.step)
        return min(max(index, 0), self.count - 1)

    def contains(self, value: object) -> bool:
        """Return whether the parameter can take `value`."""
        if not is_number(value) or not self.low <= value <= self.high:
            return False
        # Not exactly: a value that Optuna drew went through floating point.
        return self.step is None or math.isclose(
            self.get_value(self.find_index(value)), value, rel_tol=1e-9, abs_tol=1e-300
        )

    def spread(self, points: int) -> tuple[float, ...]:
        """Return up to `points` values from the smallest to the largest, evenly spread (on a log scale with `log`)."""
        if self.count is not None:
            return tuple(self.get_value(index) for index in spread_indexes(self.count, points))
        # Each once: between two neighbours there is nothing.
        shares = divide_evenly(points)
        return tuple(dict.fromkeys(interpolate(self.low, self.high, share, self.log) for share in shares))

    def to_dict(self) -> dict[str, Any]:
        """Return the parameter in the full form of a study file."""
        return _number_to_dict("float", self)


@dataclass(frozen=True)
class Int:
    """A whole number between `low` and `high`, both included."""

    name: str
    low: int
    high: int
    log: bool = False
    step: int | None = None
    default: int | None = None
    when: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        _refuse(self.name, self.when, _find_numeric_faults(self))
        _refuse(self.name, (), _find_default_faults(self))

    @property
    def bounds(self) -> tuple[Value, ...]:
        """The smallest and the largest value."""
        return (self.low, self.get_value(self.count - 1))

    @property
    def count(self) -> int:
        """Number of values."""
        if self.log and self.step is not None:
            return count_log_steps(self.low, self.high, self.step) + 1
        return (self.high - self.low) // (self.step or 1) + 1

    def get_value(self, index: int) -> int:
        """Return the value after `index` steps."""
        if self.log and self.step is not None:
            return int(self.low * self.step**index)
        return self.low + index * (self.step or 1)

    def find_index(self, value: float) -> int:
        """Return the number of steps to the value nearest to `value`."""
        if self.log and self.step is not None:
            index = round(math.log(max(value, self.low) / self.low) / math.log(self.step))
        else:
            index = round((value - self.low) / (self.step or 1))
        return min(max(index, 0), self.count - 1)

    def contains(self, value: object) -> bool:
        """Return whether the parameter can take `value`."""
        if not is_number(value) or not isinstance(value, int) or not self.low <= value <= self.high:
            return False
        return self.get_value(self.find_index(value)) == value

    def spread(self, points: int) -> tuple[int, ...]:
        """Return up to `points` values from the smallest to the largest, evenly spread (on a log scale with `log`)."""
        if self.log and self.step is None and self.count > points:
            steps = (round(interpolate(self.low, self.high, share, log=True)) for share in divide_evenly(points))
            return tuple(dict.fromkeys(steps))
        return tuple(self.get_value(index) for index in spread_indexes(self.count, points))

    def to_dict(self) -> dict[str, Any]:
        """Return the parameter in the full form of a study file."""
        return _number_to_dict("int", self)


@dataclass(frozen=True)
class Categorical:
    """One of a list of numbers, texts, true, false or null."""

    name: str
    choices: tuple[Value, ...]
    default: Value | Unset = UNSET
    when: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.choices, list):
            object.__setattr__(self, "choices", tuple(self.choices))
        _refuse(self.name, self.when, _find_choices_faults(self.choices))
        if self.default is not UNSET and not self.contains(self.default):
            listed = ", ".join(format_value(choice) for choice in self.choices)
            message = f"the default must be one of the choices, got {describe(self.default)}; the choices are: {listed}"
            _refuse(self.name, (), [Fault(("default",), message)])

    @property
    def bounds(self) -> tuple[Value, ...]:
        """All choices."""
        return self.choices

    def contains(self, value: object) -> bool:
        """Return whether the parameter can take `value`."""
        return _is_value(value) and make_key(value) in self._keys

    @cached_property
    def _keys(self) -> frozenset[tuple[bool, Value]]:
        return frozenset(map(make_key, self.choices))

    def to_dict(self) -> dict[str, Any]:
        """Return the parameter in the full form of a study file."""
        written: dict[str, Any] = {"type": "categorical", "choices": list(self.choices)}
        if self.default is not UNSET:
            written["default"] = self.default
        return _add_when(written, self.when)


@dataclass(frozen=True)
class Fixed:
    """A value that is not searched; the model receives it, and tables show it, like any other."""

    name: str
    value: Value
    when: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        fault = _find_value_fault(self.value)
        _refuse(self.name, self.when, [Fault(("value",), fault)] if fault else [])

    @property
    def default(self) -> Value:
        """The value."""
        return self.value

    @property
    def bounds(self) -> tuple[Value, ...]:
        """The value alone."""
        return (self.value,)

    def contains(self, value: object) -> bool:
        """Return whether `value` is the fixed one."""
        return _is_value(value) and is_same(value, self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return the parameter in the full form of a study file."""
        return _add_when({"type": "fixed", "value": self.value}, self.when)


Parameter = Float | Int | Categorical | Fixed


def has_default(parameter: Parameter) -> bool:
    """Return whether a searched parameter was given a default."""
    if isinstance(parameter, Categorical):
        return parameter.default is not UNSET
    return not isinstance(parameter, Fixed) and parameter.default is not None


def is_numeric(parameter: Parameter) -> bool:
    """Return whether all values of a parameter are numbers."""
    return all(is_number(value) for value in parameter.bounds)


def can_hold(parameter: Parameter, conditions: Iterable[Condition]) -> bool:
    """Return whether some value of a parameter passes all conditions on it."""
    tests = tuple(conditions)
    return any(all(test.holds(value) for test in tests) for value in _list_candidates(parameter, tests))


def find_value_fault(parameter: Parameter, value: object) -> str | None:
    """Return the reason why a parameter cannot take `value`, in words; None if it can."""
    if parameter.contains(value):
        return None
    if isinstance(parameter, (Categorical, Fixed)):
        hint = suggest_choice(str(value), map(format_value, parameter.bounds))
        return f"{parameter.name} cannot be {describe(value)}; {hint}"
    if fault := _find_number_fault(value, whole=isinstance(parameter, Int)):
        return fault
    assert is_number(value)
    return f"expected a value {describe_range(parameter)}, got {describe(value)}{_hint_at_nearest(parameter, value)}"


def describe_range(parameter: Float | Int) -> str:
    """Return the values of a number in words, such as `from 8 to 64, each 2 times the one before`."""
    low, high = parameter.bounds
    if parameter.step is None:
        return f"from {low} to {high}"
    steps = f", each {parameter.step:g} times the one before" if parameter.log else f" in steps of {parameter.step}"
    return f"from {low} to {high}{steps}"


def _hint_at_nearest(parameter: Float | Int, value: float) -> str:
    """Return the two values around one that lies between steps; empty for any other."""
    low, last = parameter.low, (parameter.count or 1) - 1
    if parameter.step is None or not low < value < parameter.get_value(last):
        return ""
    index = parameter.find_index(value)
    index -= parameter.get_value(index) > value
    return f"; the nearest are {parameter.get_value(index)} and {parameter.get_value(index + 1)}"


def _list_candidates(parameter: Parameter, tests: tuple[Condition, ...]) -> Iterator[Value]:
    """Yield values such that, if any value passes the tests, one of these does."""
    yield from parameter.bounds
    if isinstance(parameter, (Categorical, Fixed)):
        return
    anchors = sorted({float(value) for test in tests for value in test.operand if is_number(value)})
    for anchor in anchors:
        if isinstance(parameter, Float) and parameter.step is None:
            yield anchor if parameter.contains(anchor) else parameter.low
        else:
            yield from _list_near(parameter, anchor)
    if isinstance(parameter, Float) and parameter.step is None:
        # Between two neighbouring marks no test changes its result, so one value stands for all.
        marks = [parameter.low, *(anchor for anchor in anchors if parameter.contains(anchor)), parameter.high]
        yield from ((one + other) / 2 for one, other in itertools.pairwise(marks))


def _list_near(parameter: Float | Int, anchor: float) -> Iterator[Value]:
    bounded = min(max(anchor, parameter.low), parameter.high)
    index, last = parameter.find_index(bounded), (parameter.count or 1) - 1
    # An anchor may lie between two values, and `find_index` may be one off.
    for step in range(-2, 3):
        if 0 <= index + step <= last:
            yield parameter.get_value(index + step)


def _refuse(name: object, when: object, faults: Iterable[Fault]) -> None:
    found = [*_find_name_faults(name), *faults]
    if not isinstance(when, tuple) or not all(isinstance(condition, Condition) for condition in when):
        found.append(Fault(("when",), "expected a tuple of Conditions"))
    else:
        tests = [(condition.parent, condition.operator) for condition in when]
        # `when` maps each comparison to one operand, so a second one could not be written.
        twice = next((test for test in tests if tests.count(test) > 1), None)
        if twice:
            found.append(Fault(("when", twice[0]), f'expected each comparison once, got "{twice[1]}" twice'))
    if found:
        raise InvalidSpaceError((str(name),), found)


def _find_name_faults(name: object) -> list[Fault]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        rule = "expected up to 100 letters, digits and _ (between them also . / : - and spaces) as a name"
        return [Fault((), f"{rule}, got {describe(name)}")]
    return [Fault((), f'"{name}" is a key of the space itself and cannot name a parameter')] if name in RESERVED else []


def _find_numeric_faults(parameter: Float | Int) -> list[Fault]:
    whole = isinstance(parameter, Int)
    faults = []
    for key in ("low", "high", "step", "default"):
        value = getattr(parameter, key)
        if (value is not None or key in ("low", "high")) and (fault := _find_number_fault(value, whole=whole)):
            faults.append(Fault((key,), fault))
    if not isinstance(parameter.log, bool):
        hint = "; write true or false" if isinstance(parameter.log, str) else ""
        faults.append(Fault(("log",), f"expected true or false, got {describe(parameter.log)}{hint}"))
    return faults or _find_range_faults(parameter)


def _find_range_faults(parameter: Float | Int) -> list[Fault]:
    low, high, step = parameter.low, parameter.high, parameter.step
    if not low < high:
        hint = f"; write `{parameter.name}: {low}` for a fixed value" if low == high else "; swap them"
        return [Fault((), f"low < high must hold, got low={low}, high={high}{hint}")]
    if parameter.log and low <= 0:
        return [Fault(("low",), f"log needs low > 0, got low={low}; raise low, or remove log")]
    # The quotient high / low must be finite.
    if parameter.log and low < 1 / _LARGEST:
        return [Fault(("low",), f"expected low of at least {1 / _LARGEST:g}, got {low}")]
    if step is None:
        return []
    if parameter.log:
        if step <= 1:
            return [Fault(("step",), f"with log the step multiplies: expected a step above 1, got {step}")]
        if math.log(step) >= 1e-9 and count_log_steps(low, high, step) < 1:
            return [Fault(("step",), f"the step is larger than the range: {low} x {step} > {high}")]
        # The number of steps is a quotient by log(step).
        return [Fault(("step",), "the step is too close to 1")] if math.log(step) < 1e-9 else []
    if step <= 0:
        return [Fault(("step",), f"expected a step above 0, got {step}")]
    if to_decimal(step) > to_decimal(high) - to_decimal(low):
        return [Fault(("step",), f"the step is larger than the range: {low} + {step} > {high}")]
    if (high - low) / step > EXACT:
        return [Fault(("step",), f"the step is too small for the range: more than {EXACT} steps from {low} to {high}")]
    return []


def _find_default_faults(parameter: Float | Int) -> list[Fault]:
    if parameter.default is None or parameter.contains(parameter.default):
        return []
    message = find_value_fault(parameter, parameter.default)
    return [Fault(("default",), f"the default is outside of the range: {message}")]


def _find_number_fault(value: object, *, whole: bool) -> str | None:
    wanted = "a whole number" if whole else "a number"
    if not is_number(value):
        return f"expected {wanted}, got {describe(value)}{_hint_at_number(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a finite number, got {value}"
    if whole and abs(value) > EXACT:
        return f"expected a whole number of at most 2**53 ({EXACT}), beyond which not all are distinct"
    if whole and isinstance(value, float):
        hint = f"write {int(value)}" if value.is_integer() else "use `type: float` for fractions"
        return f"expected a whole number, got {value}; {hint}"
    if abs(value) > _LARGEST:
        return f"expected a number between -{_LARGEST:g} and {_LARGEST:g}"
    return None


def _hint_at_number(value: object) -> str:
    if not isinstance(value, str):
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    return "; remove the underscores" if "_" in value else "; remove the quotes"


def _find_choices_faults(choices: object) -> list[Fault]:
    if not isinstance(choices, tuple):
        return [Fault(("choices",), f"expected a list of choices, got {describe(choices)}")]
    if not choices:
        return [Fault(("choices",), "expected at least one choice, got an empty list")]
    if len(choices) > MAX_CHOICES:
        return [Fault(("choices",), f"expected at most {MAX_CHOICES} choices, got {len(choices)}; use a range")]
    values = enumerate(choices)
    faults = [Fault(("choices", index), fault) for index, value in values if (fault := _find_value_fault(value))]
    return faults or _find_repeated_choices(choices)


def _find_repeated_choices(choices: tuple[Value, ...]) -> list[Fault]:
    faults = []
    seen: dict[Value, Value] = {}  # to a dict, as to Optuna, true equals 1
    for index, choice in enumerate(choices):
        if choice not in seen:
            seen[choice] = choice
        elif is_same(seen[choice], choice):
            faults.append(Fault(("choices", index), f"the choice {format_value(choice)} is there twice; remove one"))
        else:
            both = f"{format_value(seen[choice])} and {format_value(choice)}"
            faults.append(Fault(("choices", index), f"{both} are one choice to Optuna; leave one out"))
    return faults


def _find_value_fault(value: object) -> str | None:
    if not _is_value(value):
        return f"expected text, a number, true, false or null, got {describe(value)}"
    if is_number(value):
        return _find_number_fault(value, whole=isinstance(value, int))
    if isinstance(value, str) and len(value) > 500:
        return "expected text of at most 500 characters"
    return None


def _is_value(value: object) -> TypeGuard[Value]:
    return value is None or isinstance(value, (str, bool, int, float))


def _number_to_dict(kind: str, parameter: Float | Int) -> dict[str, Any]:
    written: dict[str, Any] = {"type": kind, "low": parameter.low, "high": parameter.high}
    if parameter.log:
        written["log"] = True
    for key in ("step", "default"):
        if getattr(parameter, key) is not None:
            written[key] = getattr(parameter, key)
    return _add_when(written, parameter.when)


def _add_when(written: dict[str, Any], when: tuple[Condition, ...]) -> dict[str, Any]:
    return {**written, "when": write_when(when)} if when else written
