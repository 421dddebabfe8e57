"""KerasTuner: `HyperParameters.get_config()` as JSON, alone or under `hyperparameters` in trial.json and oracle.json.

Its language is the nearest to kerastudy's. Its `reverse_log` has no equivalent here; comparisons on real parents, and
constraints, have none there. The values of a trial become a starting point.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from search_spaces.conditions import Condition
from search_spaces.errors import suggest_choice
from search_spaces.foreign.base import ExportResult, ImportResult
from search_spaces.foreign.exporter import Losses
from search_spaces.foreign.importer import Range, Reader, When, make_valid_name
from search_spaces.parameters import MAX_CHOICES, UNSET, Categorical, Fixed, Int, Parameter, has_default
from search_spaces.space import Space
from search_spaces.values import Value, describe, format_value, is_number
from search_spaces.yaml_document import Document, KeyPath

NAME = "keras-tuner"
TITLE = "KerasTuner"
LOOKS_LIKE = "`space`, a list with a class_name each, alone or under `hyperparameters`"

_KINDS = ("Int", "Float", "Choice", "Boolean", "Fixed")
_SAMPLINGS = ("linear", "log", "reverse_log")
_Convert = Callable[[Value], Value]


def recognises(document: Document) -> bool:
    """Return whether a document looks like this format."""
    return isinstance(document.get((*_find_base(document), "space")), list)


def read(document: Document) -> ImportResult:
    """Return the space of a `HyperParameters`.

    Raises:
        InputError: with every problem found.
    """
    reader = Reader(document)
    path = (*_find_base(document), "space")
    declared = reader.read_items(path)
    # First of all, because a condition's values have the type of its parent, which may follow.
    kinds: dict[str, str] = {}
    for item in declared:
        if isinstance(item, dict) and isinstance(item.get("config"), dict):
            kinds[str(item["config"].get("name"))] = str(item.get("class_name"))
    for index in range(len(declared)):
        reader.take((*path, index), partial(_read, reader, (*path, index), kinds))
    values = document.get((*_find_base(document), "values"))
    # Only trial.json has a point that was tried; in other files the values are the defaults.
    return reader.make_result(values if "trial_id" in document.data and isinstance(values, dict) else None)


def write(space: Space) -> ExportResult:
    """Return the text that `HyperParameters.from_config` reads."""
    losses = Losses(TITLE)
    losses.add_space(space, defaults=False, conditions=False)
    converts = {name: _make_converter(parameter, losses) for name, parameter in space.parameters.items()}
    declared = [_write_parameter(parameter, space, converts, losses) for parameter in space.declared]
    values: dict[str, Value] = {}
    for parameter in space.declared:
        if space.is_active(parameter, values):
            # KerasTuner's default of a range is its lowest value, and of a choice its first.
            start = parameter.bounds[0]
            values[parameter.name] = getattr(parameter, "default", start) if has_default(parameter) else start
    known = {item["config"]["name"] for item in declared if item}
    config = {
        "space": [item for item in declared if item],
        "values": {name: converts[name](value) for name, value in values.items() if name in known},
    }
    return ExportResult(json.dumps(config, indent=2) + "\n", losses.make_notes())


def _find_base(document: Document) -> KeyPath:
    return ("hyperparameters",) if isinstance(document.data.get("hyperparameters"), dict) else ()


def _read(reader: Reader, path: KeyPath, kinds: Mapping[str, str]) -> Parameter | None:
    item = reader.read_mapping(path, '{"class_name": "Int", "config": {"name": ...}}')
    kind = item.get("class_name")
    if kind not in _KINDS:
        raise reader.make_error(
            (*path, "class_name"), f"unknown class {describe(kind)}; {suggest_choice(str(kind), _KINDS)}"
        )
    path = (*path, "config")
    config = reader.read_mapping(path, '{"name": ...}')
    name = reader.read_name(path, reader.read_text((*path, "name")))
    when = _read_conditions(reader, (*path, "conditions"), kinds)
    if kind == "Fixed":
        return reader.make_fixed(name, (*path, "value"), when)
    default = config.get("default")
    if kind == "Boolean":
        return reader.make_choice(
            name, path, (True, False), default=default if default is None else bool(default), when=when
        )
    if kind == "Choice":
        return reader.make_choice(name, path, reader.read_items((*path, "values")), default=default, when=when)
    return _read_range(reader, path, name, when, whole=kind == "Int")


def _read_range(reader: Reader, path: KeyPath, name: str, when: When, *, whole: bool) -> Parameter:
    config = reader.document.get(path)
    sampling = config.get("sampling") or "linear"
    if sampling not in _SAMPLINGS:
        hint = suggest_choice(str(sampling), _SAMPLINGS)
        raise reader.make_error((*path, "sampling"), f"unknown sampling {describe(sampling)}; {hint}")
    low = reader.read_number((*path, "min_value"), whole=whole)
    high = reader.read_number((*path, "max_value"), whole=whole)
    step = None if config.get("step") is None else reader.read_number((*path, "step"), whole=whole)
    if sampling == "reverse_log":
        reader.note((*path, "sampling"), f"reverse_log has no equivalent: {name} is drawn evenly from {low} to {high}")
        step = None
    # KerasTuner gives an Int without a step a step of 1.
    if whole and sampling == "linear" and step == 1:
        step = None
    default, log = config.get("default"), sampling == "log"
    return reader.make_range(name, path, Range(low, high, whole, log, step), default=default, when=when)


def _read_conditions(reader: Reader, path: KeyPath, kinds: Mapping[str, str]) -> When:
    if not reader.document.get(path):
        return ()
    conditions: dict[str, Condition] = {}
    for index in range(len(reader.read_items(path))):
        condition = reader.read_mapping((*path, index), '{"class_name": "Parent", "config": {...}}')
        if condition.get("class_name") != "Parent":
            raise reader.make_error((*path, index), f"expected Parent, got {describe(condition.get('class_name'))}")
        within = (*path, index, "config")
        parent = reader.read_text((*within, "name"))
        values = reader.read_values((*within, "values"))
        # KerasTuner stores a Choice of booleans as 1 and 0, and true passes for 1 in its conditions.
        if kinds.get(parent) == "Choice":
            values = [int(value) if isinstance(value, bool) else value for value in values]
        elif kinds.get(parent) == "Boolean":
            values = [bool(value) for value in values]
        known = conditions.get(parent)  # nested scopes on one parent allow what all of them allow
        allowed = tuple(value for value in values if known is None or known.holds(value))
        conditions[parent] = Condition(make_valid_name(parent), "in", allowed)
    return tuple(conditions.values())


def _make_converter(parameter: Parameter, losses: Losses) -> _Convert:
    """Return the function that converts a parameter's values to the one type that a Choice must have."""
    types = {type(choice) for choice in parameter.choices} if isinstance(parameter, Categorical) else set()
    if len(types) <= 1 and type(None) not in types:
        return lambda value: value
    if types == {int, float}:
        return lambda value: float(value) if is_number(value) else value
    losses.add("has no choices of several types and none of null; text stands in for", parameter.name)
    return format_value


def _write_parameter(
    parameter: Parameter, space: Space, converts: Mapping[str, _Convert], losses: Losses
) -> dict[str, Any] | None:
    convert = converts[parameter.name]
    config: dict[str, Any] = {"name": parameter.name}
    if isinstance(parameter, Fixed):
        kind = "Fixed"
        if parameter.value is None:
            losses.add("has no fixed null; left out", parameter.name)
            return None
        config["value"] = parameter.value
    elif isinstance(parameter, Categorical):
        default = None if parameter.default is UNSET else convert(parameter.default)
        kind = "Boolean" if set(map(format_value, parameter.choices)) == {"true", "false"} else "Choice"
        config |= {} if kind == "Boolean" and default is None else {"default": default}
        if kind == "Choice":
            # KerasTuner refuses `ordered` for text.
            numeric = all(is_number(convert(choice)) for choice in parameter.choices)
            config |= {"values": [convert(choice) for choice in parameter.choices], "ordered": numeric}
    else:
        kind = type(parameter).__name__
        step = 1 if isinstance(parameter, Int) and parameter.step is None and not parameter.log else parameter.step
        sampling = "log" if parameter.log else "linear"
        config |= {"default": parameter.default, "min_value": parameter.low, "max_value": parameter.high}
        config |= {"step": step, "sampling": sampling}
    config["conditions"] = [
        written for test in parameter.when if (written := _write_condition(parameter, test, space, converts, losses))
    ]
    return {"class_name": kind, "config": config}


def _write_condition(
    parameter: Parameter, test: Condition, space: Space, converts: Mapping[str, _Convert], losses: Losses
) -> dict[str, Any] | None:
    parent = space.parameters[test.parent]
    values = _list_admitted(parent, test)
    if not values:
        lost = f"{parameter.name} ({test})"
        losses.add("has only conditions that list values; drawn although they may not hold", lost)
        return None
    config = {"name": test.parent, "values": [converts[test.parent](value) for value in values]}
    return {"class_name": "Parent", "config": config}


def _list_admitted(parent: Parameter, test: Condition) -> list[Value]:
    """Return the values of a parent that pass a test; none where they cannot be listed."""
    if isinstance(parent, (Categorical, Fixed)):
        is_left_out = isinstance(parent, Fixed) and parent.value is None
        return [] if is_left_out else [value for value in parent.bounds if test.holds(value)]
    if parent.count is not None and parent.count <= MAX_CHOICES:
        return [value for value in map(parent.get_value, range(parent.count)) if test.holds(value)]
    return list(test.operand) if test.operator == "in" else []
