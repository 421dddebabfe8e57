"""The JSON Schema of a space, for completion and checks in an editor while it is written.

It refuses problems of one place: unknown keys, wrong types, empty or repeated choices, values out of bounds.
Problems across two places (low above high, a parent that does not exist) only `parse` refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from search_spaces.parameters import EXACT, MAX_CHOICES

# The limit in `search_spaces.parameters`.
_LARGEST: Final = 1e150
_VALUE: Final = {
    "type": ["number", "string", "boolean", "null"],
    "minimum": -_LARGEST,
    "maximum": _LARGEST,
    "maxLength": 500,
}
_TEXTS: Final = {"type": "array", "items": {"type": "string"}, "maxItems": 200}
_ONE_OR_SOME: Final = {"anyOf": [_VALUE, {"type": "array", "items": _VALUE, "minItems": 1}]}
_COMPARISONS: Final = {
    "type": "object",
    "description": 'Comparisons, such as {">=": 2} or {"not in": [a, b]}.',
    "properties": {
        **{order: {"type": "number", "description": f"{order} this number."} for order in ("<", "<=", ">", ">=")},
        **{match: {**_ONE_OR_SOME, "description": "This value, or one of these."} for match in ("==", "in")},
        **{other: {**_ONE_OR_SOME, "description": "Any other value."} for other in ("!=", "not in")},
    },
    "additionalProperties": False,
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


def make_space_schema() -> dict[str, Any]:
    """Return the JSON Schema of the `space` of a study file."""
    return {
        "type": "object",
        "description": "The search space; the family's shipped space when left out.",
        "properties": {
            "extends": {
                "description": "A shipped space, or a path to a space file, or several; what follows overrides it.",
                "anyOf": [{"type": ["string", "null"]}, _TEXTS],
            },
            "drop": {
                "description": "Parameters of the extended space to leave out.",
                "anyOf": [{"type": ["string", "null"]}, _TEXTS],
            },
            "constraints": {
                "type": ["array", "null"],
                "maxItems": 200,
                "description": 'Expressions that every trial must fulfil, such as "units_2 <= units_1".',
                "items": {"type": "string", "minLength": 1},
            },
            "start_from": {
                "type": ["array", "null"],
                "maxItems": 200,
                "description": "Points to try first, by parameter; what a point leaves out is drawn.",
                "items": {"type": "object", "minProperties": 1, "additionalProperties": _VALUE},
            },
        },
        "additionalProperties": {
            "description": "A parameter: a value (fixed), a list (choices), or a mapping.",
            "anyOf": [
                # Without null, which more often is a forgotten value: `{value: null}` is a fixed null.
                {**_VALUE, "type": ["number", "string", "boolean"], "description": "A fixed value."},
                _CHOICES,
                _make_number("float", "number"),
                _make_number("int", "integer"),
                _make_mapping("categorical", {"choices": _CHOICES, "default": _VALUE}, ("choices",)),
                _make_mapping("fixed", {"value": {**_VALUE, "description": "The value."}}, ("value",)),
                _make_override(),
            ],
        },
    }


def _make_number(kind: str, json_type: str) -> dict[str, Any]:
    most = EXACT if kind == "int" else _LARGEST
    number = {"minimum": -most, "maximum": most}
    keys = {
        "low": {"type": json_type, **number, "description": "Smallest value."},
        "high": {"type": json_type, **number, "description": "Largest value."},
        "log": {"type": "boolean", "description": "Search on a logarithmic scale; needs low above 0."},
        "step": {
            "type": [json_type, "null"],
            "exclusiveMinimum": 0,
            "maximum": most,
            "description": "Distance between values; with log, the factor from one to the next.",
        },
        "default": {"type": [json_type, "null"], **number, "description": "Value in the study's first trial."},
    }
    return {
        **_make_mapping(kind, keys, ("type", "low", "high")),
        "if": {"properties": {"log": {"const": True}}, "required": ["log"]},
        # With `log` the step is a factor.
        "then": {"properties": {"low": {"exclusiveMinimum": 0}, "step": {"exclusiveMinimum": 1}}},
    }


def _make_mapping(kind: str, keys: Mapping[str, Any], needed: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "type": {"const": kind, "description": "float, int, categorical or fixed."},
            **keys,
            **_make_conditions(),
        },
        "required": list(needed),
        "additionalProperties": False,
    }


def _make_override() -> dict[str, Any]:
    """Return the schema of a mapping without a type: keys that change a parameter of the extended space."""
    numbers = {name: {"type": "number"} for name in ("low", "high")}
    return {
        "type": "object",
        "description": "Keys that change those of the same parameter in the extended space.",
        "properties": {
            **numbers,
            "log": {"type": "boolean"},
            "step": {"type": ["number", "null"]},
            "default": _VALUE,
            **_make_conditions(),
        },
        "additionalProperties": False,
    }


def _make_conditions() -> dict[str, Any]:
    wanted = {"anyOf": [*_ONE_OR_SOME["anyOf"], _COMPARISONS]}
    parents = {"type": "object", "additionalProperties": wanted}
    return {
        "when": {
            "description": 'Parents and the values they need: {optimizer: sgd}, {optimizer: [a, b]}, {depth: ">= 2"}.',
            "anyOf": [parents, {"type": "null"}],
        },
        "repeat": {
            "type": "string",
            "minLength": 1,
            "description": "An int parameter: one of these for each of its layers.",
        },
    }
