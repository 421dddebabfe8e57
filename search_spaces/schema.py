"""The JSON Schema of a space, for completion and checks in an editor while it is written.

It refuses what can be seen in one place: unknown keys, wrong types, empty or repeated choices, values out of bounds.
What needs two places to be seen (low above high, a parent that does not exist) only `parse` refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from search_spaces.parameters import EXACT, MAX_CHOICES

_VALUE: Final = {"type": ["number", "string", "boolean", "null"]}
_TEXTS: Final = {"type": "array", "items": {"type": "string"}, "maxItems": 200}
_COMPARISONS: Final = {
    "type": "object",
    "description": 'Comparisons with numbers, such as {">=": 2}.',
    "propertyNames": {"enum": ["<", "<=", ">", ">=", "==", "!="]},
    "minProperties": 1,
}
_CHOICES: Final = {
    "type": "array",
    "description": "The values, all different: numbers, strings, true, false or null.",
    "items": _VALUE,
    "minItems": 1,
    "maxItems": MAX_CHOICES,
    "uniqueItems": True,
}


def space_schema() -> dict[str, Any]:
    """Return the JSON Schema of what stands behind a study file's `space`."""
    return {
        "type": "object",
        "description": "The search space; the family's shipped space when left out.",
        "properties": {
            "extends": {
                "description": "A shipped space, or a path to a space file, or several; what follows overrides it.",
                "anyOf": [{"type": "string"}, _TEXTS],
            },
            "drop": {
                "description": "Parameters of the extended space to leave out.",
                "anyOf": [{"type": "string"}, _TEXTS],
            },
            "constraints": {
                "type": "array",
                "description": 'Expressions that every trial must fulfil, such as "units_2 <= units_1".',
                "items": {"type": "string", "minLength": 1},
            },
            "start_from": {
                "type": "array",
                "description": "Points to try first, by parameter; what a point leaves out is drawn.",
                "items": {"type": "object", "minProperties": 1, "additionalProperties": _VALUE},
            },
        },
        "additionalProperties": {
            "description": "A parameter: a value (fixed), a list (choices), or a mapping.",
            "anyOf": [
                {"type": ["number", "string", "boolean"], "description": "A fixed value."},
                _CHOICES,
                _number("float", "number"),
                _number("int", "integer"),
                _mapping("categorical", {"choices": _CHOICES, "default": _VALUE}, ("choices",)),
                _mapping("fixed", {"value": {**_VALUE, "description": "The value."}}, ("value",)),
                _override(),
            ],
        },
    }


def _number(kind: str, json_type: str) -> dict[str, Any]:
    number: dict[str, Any] = {"type": json_type}
    if kind == "int":
        number |= {"minimum": -EXACT, "maximum": EXACT}
    keys = {
        "low": {**number, "description": "Smallest value."},
        "high": {**number, "description": "Largest value."},
        "log": {"type": "boolean", "description": "Search on a logarithmic scale; needs low above 0."},
        "step": {
            "type": ["number", "null"],
            "exclusiveMinimum": 0,
            "description": "Distance between values; with log, the factor from one to the next.",
        },
        "default": {**number, "description": "Value in the study's first trial."},
    }
    return {
        **_mapping(kind, keys, ("type", "low", "high")),
        "if": {"properties": {"log": {"const": True}}, "required": ["log"]},
        "then": {"properties": {"low": {"exclusiveMinimum": 0}}},
    }


def _mapping(kind: str, keys: Mapping[str, Any], needed: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "type": {"const": kind, "description": "float, int, categorical or fixed."},
            **keys,
            **_conditions(),
        },
        "required": list(needed),
        "additionalProperties": False,
    }


def _override() -> dict[str, Any]:
    """Return what may stand without a type: keys that change those of a parameter in the extended space."""
    numbers = {name: {"type": "number"} for name in ("low", "high")}
    return {
        "type": "object",
        "description": "Keys that change those of the same parameter in the extended space.",
        "properties": {
            **numbers,
            "log": {"type": "boolean"},
            "step": {"type": ["number", "null"]},
            "default": _VALUE,
            **_conditions(),
        },
        "minProperties": 1,
        "additionalProperties": False,
    }


def _conditions() -> dict[str, Any]:
    wanted = {"anyOf": [_VALUE, {"type": "array", "items": _VALUE, "minItems": 1}, _COMPARISONS]}
    parents = {"type": "object", "additionalProperties": wanted}
    return {
        "when": {
            "description": 'Parents and the values they need: {optimizer: sgd}, {optimizer: [a, b]}, {depth: ">= 2"}.',
            "anyOf": [parents, {"type": "array", "items": parents}, {"type": "null"}],
        },
        "repeat": {"type": "string", "description": "An int parameter: one of these for each of its layers."},
    }
