"""Constraints between parameters: a small language of names, numbers, arithmetic and comparisons.

Python's parser reads it and an allow-list decides what may stand in it; nothing is evaluated by Python itself.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_LONGEST = 300
_MOST_NODES = 100
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class ConstraintError(ValueError):
    """A constraint that cannot be read; the message says expected and got."""


@dataclass(frozen=True)
class Constraint:
    """An expression that must be true of a trial's values, such as `units_2 <= units_1`."""

    text: str
    names: frozenset[str]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Say whether values fulfil it; it holds where a parameter that it names is inactive."""
        if not self.names <= values.keys():
            return True
        try:
            return bool(_value(ast.parse(self.text, mode="eval").body, values))
        except (ArithmeticError, TypeError):
            return False


def read_constraint(text: object) -> Constraint:
    """Return the constraint that a text means.

    Raises:
        ConstraintError: if it is none.
    """
    if not isinstance(text, str) or not text.strip():
        raise ConstraintError(f'expected an expression such as "units_2 <= units_1", got {text!r}')
    if len(text) > _LONGEST:
        raise ConstraintError(f"expected at most {_LONGEST} characters, got {len(text)}")
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ConstraintError(f'expected an expression such as "units_2 <= units_1", got {text!r}') from None
    nodes = list(ast.walk(body))
    if len(nodes) > _MOST_NODES:
        raise ConstraintError(f"expected a shorter expression, got {len(nodes)} parts")
    for node in nodes:
        _check(node)
    if not isinstance(body, ast.Compare | ast.BoolOp | ast.UnaryOp):
        raise ConstraintError(f"expected a comparison, got {text!r}")
    names = frozenset(node.id for node in nodes if isinstance(node, ast.Name))
    if not names:
        raise ConstraintError(f"expected the name of a parameter in it, got {text!r}")
    return Constraint(text.strip(), names)


def _check(node: ast.AST) -> None:
    allowed = (
        *(ast.Compare, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.USub, ast.Not, ast.BinOp),
        *(ast.Name, ast.Load, ast.Constant, *_ARITHMETIC, *_COMPARISONS),
    )
    if not isinstance(node, allowed):
        shown = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
        raise ConstraintError(
            f"expected names, numbers, + - * /, comparisons, and, or, not; got {shown.splitlines()[0][:60]}"
        )
    if isinstance(node, ast.Constant) and (
        not isinstance(node.value, bool | int | float | str)
        or (isinstance(node.value, float) and not math.isfinite(node.value))
    ):
        raise ConstraintError(f"expected numbers or strings, got {node.value!r}")


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp):
        return _ARITHMETIC[type(node.op)](_value(node.left, values), _value(node.right, values))
    if isinstance(node, ast.UnaryOp):
        operand = _value(node.operand, values)
        return not operand if isinstance(node.op, ast.Not) else -operand
    if isinstance(node, ast.BoolOp):
        parts = (bool(_value(part, values)) for part in node.values)
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.Compare):
        operands = [_value(part, values) for part in (node.left, *node.comparators)]
        pairs = zip(node.ops, operands[:-1], operands[1:], strict=True)
        return all(_COMPARISONS[type(compare)](left, right) for compare, left, right in pairs)
    raise TypeError(node)
