"""Optuna: a JSON object of names to distributions, each as `distribution_to_json` writes it, or as that text.

The format has neither fixed values, conditions nor defaults, and no steps on a logarithmic scale.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from search_spaces.errors import InputError, suggest_choice
from search_spaces.foreign.base import ExportResult, ImportResult
from search_spaces.foreign.exporter import Losses
from search_spaces.foreign.importer import Range, Reader
from search_spaces.parameters import Categorical, Fixed, Int, Parameter
from search_spaces.space import Space
from search_spaces.values import describe
from search_spaces.yaml_document import Document, KeyPath
from search_spaces.yaml_reader import parse_document

NAME = "optuna"
TITLE = "Optuna"
LOOKS_LIKE = "a mapping of names to distributions with name and attributes"

# Per class: whether its values are whole, whether its name makes it logarithmic, and its name for the step.
_RANGES = {
    "FloatDistribution": (False, False, "step"),
    "IntDistribution": (True, False, "step"),
    "UniformDistribution": (False, False, "step"),
    "LogUniformDistribution": (False, True, "step"),
    "DiscreteUniformDistribution": (False, False, "q"),
    "IntUniformDistribution": (True, False, "step"),
    "IntLogUniformDistribution": (True, True, "step"),
}
_CLASSES = ("CategoricalDistribution", *_RANGES)


def recognises(document: Document) -> bool:
    """Return whether a document looks like this format."""
    return any(
        str(entry.get("name")).endswith("Distribution") if isinstance(entry, dict) else 'Distribution"' in str(entry)
        for entry in document.data.values()
    )


def read(document: Document) -> ImportResult:
    """Return the space that distributions describe.

    Raises:
        InputError: with every problem found.
    """
    reader = Reader(_parse_texts(document))
    for name in document.data:
        reader.take((name,), partial(_read, reader, name))
    return reader.make_result()


def write(space: Space) -> ExportResult:
    """Return the distributions of a space."""
    losses = Losses(TITLE)
    losses.add_space(space)
    distributions = {parameter.name: _write_parameter(parameter, losses) for parameter in space.declared}
    return ExportResult(json.dumps(distributions, indent=2) + "\n", losses.make_notes())


def _parse_texts(document: Document) -> Document:
    """Return a document in which distributions that are JSON in a text are mappings."""
    opened = dict(document.data)
    for name, entry in document.data.items():
        if isinstance(entry, str):
            with suppress(InputError):  # `_read` reports what was expected
                opened[name] = parse_document(entry, f"{name}.json").data
    return replace(document, data=opened)


def _read(reader: Reader, written: str) -> Parameter | None:
    path: KeyPath = (written,)
    entry = reader.read_mapping(path, '{"name": "FloatDistribution", "attributes": {...}}')
    name = reader.read_name(path, written)
    kind = entry.get("name")
    if kind not in _CLASSES:
        raise reader.make_error(path, f"unknown distribution {describe(kind)}; {suggest_choice(str(kind), _CLASSES)}")
    path = (*path, "attributes")
    attributes = reader.read_mapping(path, '{"low": 0.0, "high": 1.0}')
    if kind == "CategoricalDistribution":
        return reader.make_choice(name, (*path, "choices"), reader.read_items((*path, "choices")))
    whole, log, step_key = _RANGES[kind]
    low, high = (reader.read_number((*path, key), whole=whole) for key in ("low", "high"))
    step = None if attributes.get(step_key) is None else reader.read_number((*path, step_key), whole=whole)
    log = log or attributes.get("log") is True
    return reader.make_range(name, path, Range(low, high, whole, log, None if whole and step == 1 else step))


def _write_parameter(parameter: Parameter, losses: Losses) -> dict[str, Any]:
    if not isinstance(parameter, (Categorical, Fixed)) and parameter.log and parameter.step is not None:
        parameter = losses.remove_step(parameter)
    if isinstance(parameter, (Categorical, Fixed)):
        return {"name": "CategoricalDistribution", "attributes": {"choices": list(parameter.bounds)}}
    low, high = parameter.bounds
    whole = isinstance(parameter, Int)
    attributes = {"log": parameter.log, "low": low, "high": high, "step": parameter.step or (1 if whole else None)}
    return {"name": "IntDistribution" if whole else "FloatDistribution", "attributes": attributes}
