"""Constraints between parameters: a small language of names, values, arithmetic and comparisons.

`units_2 <= units_1`, `depth * units <= 1024`, `optimizer != "sgd" or learning_rate < 0.1`. Python's parser reads a
constraint, an allow-list limits its parts, and this module evaluates it, never Python's `eval`. A constraint on a
parameter that is not active holds.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from search_spaces.errors import InputError, suggest_choice
from search_spaces.values import Value, describe, is_number, is_same

# Chosen. It limits how deep the recursion below can go.
MAX_CHARACTERS = 300
Kind = Literal["number", "truth", "other"]

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_ORDER: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
# As YAML writes them; Python's True, False and None are constants, and pass too.
_WORDS: Mapping[str, Value] = {"true": True, "false": False, "null": None}
_EXAMPLE = 'such as "units_2 <= units_1"'


class ConstraintError(InputError):
    """A constraint that cannot be read; the message states what was expected and what was got."""


@dataclass(frozen=True)
class Constraint:
    """An expression that a trial's values must make true."""

    text: str

    def __post_init__(self) -> None:
        _find_kind(self._tree, None)
        if not self.names:
            raise ConstraintError(f'expected the name of a parameter in it, got "{self.text}"')

    @property
    def names(self) -> frozenset[str]:
        """The names of the parameters in the expression."""
        found = (node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name))
        return frozenset(name for name in found if name not in _WORDS)

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Return whether values satisfy the constraint; a division by zero does not."""
        if not self.names <= values.keys():
            return True
        try:
            return bool(_evaluate(self._tree, values))
        except ArithmeticError:
            return False

    def check(self, kinds: Mapping[str, Kind]) -> None:
        """Check the names and operations against the kinds of the parameters.

        Raises:
            ConstraintError: if a parameter is unknown, or text is compared by size or used in arithmetic.
        """
        for name in sorted(self.names - kinds.keys()):
            raise ConstraintError(f'there is no parameter "{name}"; {suggest_choice(name, kinds)}')
        if _find_kind(self._tree, kinds) != "truth":
            raise ConstraintError(f'expected a comparison {_EXAMPLE}, got "{self.text}"')

    @cached_property
    def _tree(self) -> ast.expr:
        text = self.text
        if not isinstance(text, str) or not text.strip():
            raise ConstraintError(f"expected an expression {_EXAMPLE}, got {describe(text)}")
        if len(text) > MAX_CHARACTERS:
            raise ConstraintError(f"expected at most {MAX_CHARACTERS} characters, got {len(text)}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python warns of odd comparisons, which are refused here anyway
                return ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            message = f'expected an expression {_EXAMPLE}, got "{text}": {error.msg}'
        # Some versions of Python raise these for null bytes and for deep nesting.
        except (ValueError, RecursionError, MemoryError):
            message = f'expected an expression {_EXAMPLE}, got "{text}"'
        raise ConstraintError(message)


def _find_kind(node: ast.expr, kinds: Mapping[str, Kind] | None) -> Kind:
    """Return the kind of a part of an expression; without `kinds` of the parameters, every name may be anything."""
    if isinstance(node, ast.Name):
        return _find_kind_of_name(node.id, kinds)
    if isinstance(node, ast.Constant):
        return _find_kind_of_constant(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        _require("number", (node.left, node.right), kinds)
        return "number"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        _require("number", (node.operand,), kinds)
        return "number"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _require("truth", (node.operand,), kinds)
        return "truth"
    if isinstance(node, ast.BoolOp):
        _require("truth", node.values, kinds)
        return "truth"
    if isinstance(node, ast.Compare):
        _check_comparison(node, kinds)
        return "truth"
    raise ConstraintError(
        f"expected names, numbers, quoted text, + - * /, comparisons, and, or, not; got `{_format_source(node)}`"
    )


def _find_kind_of_name(name: str, kinds: Mapping[str, Kind] | None) -> Kind:
    if name in _WORDS:
        return "other" if _WORDS[name] is None else "truth"
    return kinds[name] if kinds is not None else "number"


def _find_kind_of_constant(value: object) -> Kind:
    if value is None or isinstance(value, str):
        return "other"
    if isinstance(value, bool):
        return "truth"
    # The product of two such numbers is still finite.
    if is_number(value) and math.isfinite(value) and abs(value) <= 1e150:
        return "number"
    raise ConstraintError("expected numbers between -1e150 and 1e150, quoted text, true, false or null")


def _check_comparison(node: ast.Compare, kinds: Mapping[str, Kind] | None) -> None:
    for sign in node.ops:
        if type(sign) in _ORDER:
            _require("number", (node.left, *node.comparators), kinds)
        elif not isinstance(sign, (ast.Eq, ast.NotEq)):
            raise ConstraintError(f"expected <, <=, >, >=, == or !=, got `{_format_source(node)}`")
    for part in (node.left, *node.comparators):
        _find_kind(part, kinds)


def _require(kind: Kind, parts: tuple[ast.expr, ...] | list[ast.expr], kinds: Mapping[str, Kind] | None) -> None:
    for part in parts:
        found = _find_kind(part, kinds)
        if found != kind and (kinds is not None or not isinstance(part, ast.Name)):
            wanted = "a number" if kind == "number" else "something true or false"
            raise ConstraintError(f"expected {wanted}, got `{_format_source(part)}`")


def _format_source(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else text[:57] + "..."


def _evaluate(node: ast.expr, values: Mapping[str, Value]) -> Any:
    if isinstance(node, ast.Name):
        return _WORDS[node.id] if node.id in _WORDS else values[node.id]
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp):
        return _ARITHMETIC[type(node.op)](_evaluate(node.left, values), _evaluate(node.right, values))
    if isinstance(node, ast.UnaryOp):
        operand = _evaluate(node.operand, values)
        return not operand if isinstance(node.op, ast.Not) else -operand
    if isinstance(node, ast.BoolOp):
        # A generator: in `x != 0 and y / x < 2` the second part must not be evaluated where x is 0.
        parts = (_evaluate(part, values) for part in node.values)
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    assert isinstance(node, ast.Compare)
    operands = [_evaluate(part, values) for part in (node.left, *node.comparators)]
    # A chain such as `a < b < c` compares neighbours; `zip` ends at the last pair.
    return all(_compare(sign, one, other) for sign, one, other in zip(node.ops, operands, operands[1:], strict=False))


def _compare(sign: ast.cmpop, one: Any, other: Any) -> bool:
    if isinstance(sign, (ast.Eq, ast.NotEq)):
        return is_same(one, other) == isinstance(sign, ast.Eq)
    return _ORDER[type(sign)](one, other)
