"""Conditions on parameters: `when: {optimizer: sgd}`, `{optimizer: [sgd, rmsprop]}`, `{depth: ">= 2"}`.

A study file has three ways to write a condition on a parent: a value, a list of values, or comparisons, either as
text (`">= 2"`) or as a mapping (`{">=": 2, "<": 5}`). All conditions of a parameter must hold, and its parents
must exist in the trial.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from search_spaces.errors import Fault, suggest_choice
from search_spaces.values import Value, describe, format_value, is_number, make_key

Operator = Literal["in", "not in", "<", "<=", ">", ">="]

_COMPARISON = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(.*?)\s*", re.DOTALL)
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# A limit that also refuses infinity, NaN, and whole numbers too large for a float.
_LARGEST = 1e300
_EQUALITY: Mapping[str, Operator] = {"==": "in", "!=": "not in"}


@dataclass(frozen=True)
class Condition:
    """One test on the value of a parent.

    Attributes:
        operand: the values for `in` and `not in`; a tuple of one number for a comparison.
    """

    parent: str
    operator: Operator
    operand: tuple[Value, ...]

    def holds(self, value: Value) -> bool:
        """Return whether the parent's value passes."""
        if self.operator in ("in", "not in"):
            return (make_key(value) in self._keys) == (self.operator == "in")
        limit = self.operand[0]
        if not is_number(value) or not is_number(limit):
            return False
        return _COMPARE[self.operator](value, limit)

    @cached_property
    def _keys(self) -> frozenset[tuple[bool, Value]]:
        return frozenset(map(make_key, self.operand))

    def __str__(self) -> str:
        """Return the condition in words, such as `optimizer is sgd or rmsprop`."""
        if self.operator in ("in", "not in"):
            words = "is" if self.operator == "in" else "is not"
            return f"{self.parent} {words} {' or '.join(format_value(value) for value in self.operand)}"
        return f"{self.parent} {self.operator} {self.operand[0]}"


def read_when(written: object, faults: list[Fault]) -> tuple[Condition, ...]:
    """Return the conditions of a `when`; append what is wrong with it to `faults`, with the keys below `when`."""
    if written is None:
        return ()
    if not isinstance(written, Mapping):
        message = f"expected a mapping such as {{optimizer: sgd}}, got {describe(written)}"
        faults.append(Fault((), message))
        return ()
    conditions: list[Condition] = []
    for parent, test in written.items():
        conditions += _read_tests(parent, test, faults)
    return tuple(conditions)


def write_when(conditions: tuple[Condition, ...]) -> dict[str, Any]:
    """Return conditions in the form of `when`; `read_when` reads the same conditions from it."""
    written: dict[str, Any] = {}
    for parent in dict.fromkeys(condition.parent for condition in conditions):
        tests = [condition for condition in conditions if condition.parent == parent]
        only = tests[0]
        # A value that looks like a comparison is written behind `in`, or it would be read as one.
        if len(tests) == 1 and only.operator == "in" and not (len(only.operand) == 1 and _looks_like_comparison(only)):
            written[parent] = only.operand[0] if len(only.operand) == 1 else list(only.operand)
        else:
            written[parent] = {test.operator: _write_operand(test) for test in tests}
    return written


def _read_tests(parent: str, test: object, faults: list[Fault]) -> list[Condition]:
    if isinstance(test, Mapping):
        if not test:
            faults.append(Fault((parent,), 'expected a value, a list or comparisons such as {">=": 2}, got nothing'))
        return [found for key, operand in test.items() for found in _read_test(parent, key, operand, faults, (key,))]
    if isinstance(test, list):
        return _read_test(parent, "in", test, faults, ())
    # Text such as ">= 2" is a comparison; as a value of the parent it is written in a list.
    if isinstance(test, str) and (found := _COMPARISON.fullmatch(test)):
        return _read_test(parent, found[1], _parse_operand(found[2]), faults, ())
    return _read_test(parent, "in", [test], faults, ())


def _read_test(
    parent: str, comparison: str, operand: object, faults: list[Fault], keys: tuple[str, ...]
) -> list[Condition]:
    place = (parent, *keys)
    known: Operator | None = _EQUALITY.get(comparison) or next((o for o in get_args(Operator) if o == comparison), None)
    if known is None:
        hint = suggest_choice(comparison, (*get_args(Operator), *_EQUALITY))
        faults.append(Fault(place, f'unknown comparison "{comparison}"; {hint}'))
        return []
    values = operand if isinstance(operand, list) else [operand]
    if known in ("in", "not in"):
        return _read_membership(parent, known, values, faults, place)
    if not is_number(operand) or not -_LARGEST < operand < _LARGEST:
        faults.append(Fault(place, f"expected a number after {comparison}, got {describe(operand)}"))
        return []
    return [Condition(parent, known, (operand,))]


def _read_membership(
    parent: str, membership: Operator, values: list[Any], faults: list[Fault], place: tuple[str, ...]
) -> list[Condition]:
    if not values:
        faults.append(Fault(place, "expected at least one value, got an empty list"))
        return []
    for value in values:
        if isinstance(value, (list, Mapping)) or (is_number(value) and not -_LARGEST < value < _LARGEST):
            faults.append(Fault(place, f"expected text, a finite number, true, false or null, got {describe(value)}"))
            return []
    return [Condition(parent, membership, tuple(values))]


def _parse_operand(text: str) -> Value:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "null": None}.get(text, text)


def _looks_like_comparison(condition: Condition) -> bool:
    value = condition.operand[0]
    return isinstance(value, str) and _COMPARISON.fullmatch(value) is not None


def _write_operand(condition: Condition) -> Any:
    if condition.operator in ("in", "not in"):
        return list(condition.operand)
    return condition.operand[0]
