"""Problems of a study file or of a service's settings: pydantic's errors as messages, each with the place of its key.

In pydantic's errors the members of a union look like keys, and each member that does not fit is an error. Both are
undone here.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pipelines.spec.schema import StudySpec
from pipelines.spec.section import NAME_MEANS
from search_spaces.errors import Problem, suggest_choice
from search_spaces.values import describe
from search_spaces.yaml_document import Document

Keys = tuple[str | int, ...]

_EXPECTED: Mapping[str, str] = {
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "string_pattern_mismatch": NAME_MEANS,
    "int_type": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
}
_EXPECTED_AT: Mapping[Keys, str] = {
    ("data", "source"): "a file's name, or a list of names",
    ("data", "validation_source"): "a file's name, or a list of names",
    ("data", "test_source"): "a file's name, or a list of names",
    ("data", "target"): "a column's name, or a list of names",
    ("training", "class_weight"): "balanced, or a weight for each class by its name",
    ("resources", "fleet"): "auto, off, or a whole number from 1 to 1024",
    ("resources", "reconnect"): 'off, or a duration such as "30s", "5m" or "1h30m"',
    ("resources", "devices"): "all, or a whole number from 1 to 64",
}
"""Keys that accept one of several types."""

_OF_PANDAS: Mapping[str, str] = {
    "delimiter": "sep",
    "separator": "sep",
    "sheet_name": "sheet",
    "skip_rows": "skiprows",
    "skip_footer": "skipfooter",
    "quotechar": "quote",
    "on_bad_lines": "skip_broken",
    "na_values": "missing_values",
    "index_col": "drop",
    "dtype": "columns.NAME.type",
    "path": "source",
    "file": "source",
    "files": "source",
}
"""Arguments of pandas's readers, and other words for reading, that have another name in the section `data`."""

_OF_KERAS_TUNER: Mapping[str, str] = {
    "max_trials": "budget.trials",
    "executions_per_trial": "training.seeds",
    "max_consecutive_failed_trials": "budget.consecutive_failures",
    "max_retries_per_trial": "limits.attempts",
    "max_model_size": "limits.parameters",
    "tune_new_entries": "search.undeclared",
    "allow_new_entries": "search.undeclared",
    "hyperparameters": "space",
    "project_name": "study",
}
"""Arguments of KerasTuner's tuners and oracles that have another name in a study file."""

_OF_SPACES = ("epochs", "batch_size", "learning_rate", "optimizer", "dropout", "units", "depth", "activation", "layers")
"""Hyperparameters that people write beside the space."""

_MOST_PLACES = 3
_BOUNDS = ("gt", "ge", "lt", "le")
_NUMBERS = ("int_type", "float_type")
_MEANT_TRUE = ("yes", "on", "y", "true")
_MEANT_FALSE = ("no", "off", "n", "false")


def list_spec_problems(document: Document, error: ValidationError, model: type[BaseModel] = StudySpec) -> list[Problem]:
    """Return one problem for each key of the document that a model refused."""
    found: dict[Keys, ErrorDetails] = {}
    for detail in error.errors(include_url=False):
        # Each member of a union that does not fit is an error at the same key; the first one is shown.
        found.setdefault(_locate_keys(model, detail["loc"]), detail)
    return [
        _make_problem(model, document, keys, detail)
        for keys, detail in found.items()
        # An error inside a section explains the error of the section.
        if not any(other[: len(keys)] == keys for other in found if other != keys)
    ]


def split_keys(data: Any, dotted: str) -> Keys:
    """Return the keys of a dotted path such as `data.columns.a.b.type` or `training.metrics[0]`.

    A key of the data that holds dots itself, as the column `a.b` may, is found as one key.
    """
    keys: list[str | int] = []
    rest = re.sub(r"\[(\d+)\]", r".\1", dotted)
    while rest:
        whole = [key for key in data if f"{rest}.".startswith(f"{key}.")] if isinstance(data, dict) else []
        # The longest: with columns `a` and `a.b`, `a.b.type` is meant for the second.
        name = max(whole, key=len, default=rest.partition(".")[0])
        rest = rest[len(name) + 1 :]
        key = int(name) if isinstance(data, list) and name.isdecimal() else name
        keys.append(key)
        known = key in data if isinstance(data, dict) else isinstance(key, int) and key < len(data)
        data = data[key] if known else None
    return tuple(keys)


def _make_problem(model: type[BaseModel], document: Document, keys: Keys, detail: ErrorDetails) -> Problem:
    kind = detail["type"]
    if kind == "extra_forbidden":
        hint = _locate_meant_key(model, keys) or suggest_choice(str(keys[-1]), _list_keys_at(model, keys[:-1]))
        return document.make_key_problem(keys, f'unknown key "{keys[-1]}"; {hint}')
    if kind == "missing":
        return document.make_problem(keys, f'the key "{keys[-1]}" is missing; add it{_describe_meaning(model, keys)}')
    if kind == "value_error":
        return document.make_problem(keys, detail["msg"].removeprefix("Value error, "))
    expected, change = _describe_expected(model, keys, detail), _suggest_change(model, document, keys, detail)
    message = f"expected {expected}, got {describe(detail['input'])}{change}"
    return document.make_problem(keys, message)


def _locate_meant_key(model: type[BaseModel], keys: Keys) -> str:
    """Return where a key belongs that is unknown at its place and known at others; "" where it is known nowhere."""
    name = str(keys[-1])
    if name in _OF_KERAS_TUNER:
        return f"KerasTuner's {name} is {_OF_KERAS_TUNER[name]} here"
    if keys[:-1] == ("data",) and name in _OF_PANDAS:
        return f"{name} is data.{_OF_PANDAS[name]} here"
    if len(keys) == 1 and name in _OF_SPACES:
        return f"a hyperparameter is a key of the space: space.{name}"
    # A slip of the pen at the right place is likelier than a right name at another one.
    if name.lower() in map(str.lower, _list_keys_at(model, keys[:-1])):
        return ""
    found = [path for path in _list_paths(model) if path.rpartition(".")[2] == name]
    return f"it is {' or '.join(found)}" if 0 < len(found) <= _MOST_PLACES else ""


def _list_paths(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Yield the dotted path of every key of a section and of those in it."""
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        yield path
        for member in _list_members(field.annotation):
            if isinstance(member, type) and issubclass(member, BaseModel):
                yield from _list_paths(member, f"{path}.")


def _describe_expected(model: type[BaseModel], keys: Keys, detail: ErrorDetails) -> str:
    if keys in _EXPECTED_AT:
        return _EXPECTED_AT[keys]
    if detail["type"] == "literal_error":
        return " or ".join(", ".join(map(str, _list_choices(model, keys))).rsplit(", ", 1))
    expected = _EXPECTED.get(detail["type"], detail["msg"].removeprefix("Input should be "))
    bounds = {name: f"{bound:.15g}" for name, bound in detail.get("ctx", {}).items() if name in _BOUNDS}
    return expected.format(**bounds)


def _suggest_change(model: type[BaseModel], document: Document, keys: Keys, detail: ErrorDetails) -> str:
    """Return the suggested change, if the file shows what was meant."""
    kind, got = detail["type"], detail["input"]
    if kind == "literal_error" and isinstance(got, str):
        hint = suggest_choice(got, map(str, _list_choices(model, keys)))
        return f"; {hint.partition('?')[0]}?" if hint.startswith("did you mean") else ""
    if kind == "bool_type" and isinstance(got, str) and got.lower() in _MEANT_TRUE + _MEANT_FALSE:
        return f"; write {str(got.lower() in _MEANT_TRUE).lower()}"
    # Only a quoted number: an unquoted text that looks like one has another problem.
    if isinstance(got, str) and kind in _NUMBERS and keys not in document.unquoted and _is_number(got):
        return "; remove the quotes"
    if kind == "string_type" and isinstance(got, (int, float)):
        return "; put it in quotes if it is a name"
    if got is not None and kind in ("model_type", "dict_type") and (written := _wrap_value(model, keys, got)):
        return f"; write {written}"
    if kind == "list_type" and isinstance(got, (str, int, float)):
        return f"; write [{json.dumps(got, ensure_ascii=False)}]"
    if got is None and (field := _find_field_at(model, keys)) is not None and not field.is_required():
        return "; remove the key to take its default"
    return ""


def _wrap_value(model: type[BaseModel], keys: Keys, got: object) -> str:
    """Return the mapping that a single value was meant as; of a value that fits none of its keys, the keys."""
    section = next((each for each in _list_members_at(model, keys) if _is_section(each)), None)
    if section is None:
        return ""
    for place, (name, field) in enumerate(section.model_fields.items()):
        key, members = field.alias or name, _list_members(field.annotation)
        # A free text may be anything; a number may be many things, the first of which is meant most often.
        is_meant = field.is_required() or (place == 0 and not isinstance(got, str))
        if (is_meant or any(get_origin(each) is Literal for each in members)) and _accepts(section, key, got):
            return f"{keys[-1]}: {{{key}: {_show(got)}}}"
        if any(_is_list_of_choices(each) for each in members) and _accepts(section, key, [got]):
            return f"{keys[-1]}: {{{key}: [{_show(got)}]}}"
    return f"{keys[-1]}: {{{', '.join(f'{key}: ...' for key in list(section.model_fields)[:2])}}}"


def _is_list_of_choices(annotation: Any) -> bool:
    return get_origin(annotation) is list and get_origin(get_args(annotation)[0]) is Literal


def _accepts(section: type[BaseModel], key: str, value: object) -> bool:
    """Return whether a section's key may have a value."""
    try:
        section.model_validate({key: value})
    except ValidationError as error:
        return not any(detail["loc"][:1] == (key,) for detail in error.errors())
    return True


def _show(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _describe_meaning(model: type[BaseModel], keys: Keys) -> str:
    field = _find_field_at(model, keys)
    text = (field.description or "") if field else ""
    return f" ({text[:1].lower()}{text[1:].partition('. ')[0].rstrip('.')})" if text else ""


def _locate_keys(model: type[BaseModel], location: Sequence[str | int]) -> Keys:
    """Return a pydantic location without the parts that name union members instead of keys."""
    keys: list[str | int] = []
    current: Any = model
    for part in location:
        members = _list_members(current)
        if len(members) > 1:
            # Pydantic appends to the name, as in dict[str,float].
            current = next((member for member in members if str(part).startswith(_make_label(member))), None)
        elif isinstance(member := members[0] if members else None, type) and issubclass(member, BaseModel):
            keys.append(part)
            field = _find_field(member, part)
            current = field.annotation if field else None
        elif get_origin(member) in (list, tuple, dict):
            keys.append(part)
            current = get_args(member)[-1]
    return tuple(keys)


def _list_keys_at(model: type[BaseModel], keys: Keys) -> list[str]:
    section = _find_annotation_at(model, keys)
    if isinstance(section, type) and issubclass(section, BaseModel):
        return [field.alias or name for name, field in section.model_fields.items()]
    return []


def _list_choices(model: type[BaseModel], keys: Keys) -> tuple[Any, ...]:
    annotation = _find_annotation_at(model, keys)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _find_annotation_at(model: type[BaseModel], keys: Keys) -> Any:
    """Return the annotation at a path: the only one that remains without `None`."""
    members = _list_members_at(model, keys)
    return members[0] if len(members) == 1 else None


def _list_members_at(model: type[BaseModel], keys: Keys) -> list[Any]:
    """Return the annotations that a value at a path may have, without `None`."""
    current: Any = model
    for key in keys:
        member = next((each for each in _list_members(current) if _is_container(each)), None)
        if isinstance(member, type) and issubclass(member, BaseModel):
            field = _find_field(member, key)
            current = field.annotation if field else None
        else:
            current = get_args(member)[-1] if member else None
    return _list_members(current)


def _find_field_at(model: type[BaseModel], keys: Keys) -> FieldInfo | None:
    section = _find_annotation_at(model, keys[:-1]) if keys else None
    if isinstance(section, type) and issubclass(section, BaseModel):
        return _find_field(section, keys[-1])
    return None


def _find_field(section: type[BaseModel], key: str | int) -> FieldInfo | None:
    named = ((field.alias or name, field) for name, field in section.model_fields.items())
    return next((field for name, field in named if name == key), None)


def _list_members(annotation: Any) -> list[Any]:
    """Return the members of a union without `None`; an annotation that is no union is the only member."""
    if get_origin(annotation) is Annotated:
        return _list_members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for member in get_args(annotation) for inner in _list_members(member)]
    return [] if annotation in (None, type(None)) else [annotation]


def _is_container(annotation: Any) -> bool:
    return _is_section(annotation) or get_origin(annotation) in (list, tuple, dict)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _make_label(member: Any) -> str:
    """Return the first part of pydantic's name for a union member."""
    origin = get_origin(member) or member
    return "literal" if origin is Literal else str(getattr(origin, "__name__", origin))


def _is_number(written: str) -> bool:
    try:
        float(written)
    except ValueError:
        return False
    return True
