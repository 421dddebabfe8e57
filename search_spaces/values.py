"""Values of hyperparameters, and directions of objectives: their types, their equality, and their text.

The one home of both types: every package imports them from here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeGuard

Value = float | int | str | bool | None
"""A hyperparameter's value; None is a value too, written as null."""

Direction = Literal["minimize", "maximize"]
"""A direction of an objective, in Optuna's words."""

# The line breaks by which ruamel counts lines; `str.splitlines` breaks at more characters.
LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def is_same(one: Value, other: Value) -> bool:
    """Return whether two values are the same choice: 1 is 1.0, but true is not 1."""
    return make_key(one) == make_key(other)


def make_key(value: Value) -> tuple[bool, Value]:
    """Return a key that is equal for two values that are the same, and for no others."""
    # To Python, and so in every set and dict, True equals 1.
    return isinstance(value, bool), value


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def replace_not_finite(value: Any) -> Any:
    """Return plain values with None in place of infinities and NaN, for which JSON has no form."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: replace_not_finite(each) for key, each in value.items()}
    return [replace_not_finite(each) for each in value] if isinstance(value, list | tuple) else value


def format_value(value: Value) -> str:
    """Return a value in the form of a study file."""
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def describe(value: object) -> str:
    """Return the kind of a value in plain words, and the value, for messages."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = LINE_BREAK.sub("\\\\n", value[:61])
        return f'the text "{text if len(text) <= 60 else text[:57] + "..."}"'
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, int) and abs(value) > 10**20:
        return "a whole number with many digits"
    return str(value) if isinstance(value, (int, float)) else f"a {type(value).__name__}"
