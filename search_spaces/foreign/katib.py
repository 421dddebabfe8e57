"""Katib: an Experiment's YAML, of which `spec.parameters` is the space.

The format writes every value as text, and has no booleans, no fixed values, no conditions and no defaults.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from search_spaces.errors import suggest_choice
from search_spaces.foreign.base import ExportResult, ImportResult
from search_spaces.foreign.exporter import Losses
from search_spaces.foreign.importer import Range, Reader, parse_number
from search_spaces.parameters import Categorical, Fixed, Int, Parameter
from search_spaces.space import Space
from search_spaces.values import Value, describe, format_value, is_number
from search_spaces.yaml_document import Document, KeyPath
from search_spaces.yaml_writer import to_yaml

NAME = "katib"
TITLE = "Katib"
LOOKS_LIKE = "`kind: Experiment` and `spec.parameters`, a list with a parameterType each"

_TYPES = ("int", "double", "discrete", "categorical")
_DISTRIBUTIONS = ("uniform", "logUniform", "normal", "logNormal")
_OF_SEARCH = ("algorithm", "earlyStopping", "maxTrialCount", "parallelTrialCount", "maxFailedTrialCount")


def recognises(document: Document) -> bool:
    """Return whether a document looks like this format."""
    return isinstance(document.get(("spec", "parameters")), list)


def read(document: Document) -> ImportResult:
    """Return the space of an Experiment.

    Raises:
        InputError: with every problem found.
    """
    reader = Reader(document)
    path = ("spec", "parameters")
    for index in range(len(reader.read_items(path))):
        reader.take((*path, index), partial(_read, reader, (*path, index)))
    objective = document.get(("spec", "objective"))
    if isinstance(objective, dict):
        wanted = (objective.get(key) for key in ("objectiveMetricName", "type", "goal"))
        reader.note_objective(("spec", "objective"), *wanted)
    for key in _OF_SEARCH:
        if document.get(("spec", key)) is not None:
            reader.note(("spec", key), "is no part of a space; see `search`, `budget` and `resources` of a study file")
    return reader.make_result()


def write(space: Space) -> ExportResult:
    """Return an Experiment, to which objective, algorithm and trial template are to be added."""
    losses = Losses(TITLE)
    losses.add_space(space)
    experiment = {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": "kerastudy"},
        "spec": {"parameters": [_write_parameter(parameter, losses) for parameter in space.declared]},
    }
    return ExportResult(to_yaml(experiment), losses.make_notes())


def _read(reader: Reader, path: KeyPath) -> Parameter | None:
    entry = reader.read_mapping(path, "{name: lr, parameterType: double, feasibleSpace: {...}}")
    name = reader.read_name((*path, "name"), reader.read_text((*path, "name")))
    kind = entry.get("parameterType")
    if kind not in _TYPES:
        raise reader.make_error(
            (*path, "parameterType"), f"unknown type {describe(kind)}; {suggest_choice(str(kind), _TYPES)}"
        )
    path = (*path, "feasibleSpace")
    reader.read_mapping(path, '{min: "0.01", max: "0.1"}')
    if kind == "discrete":
        at = (*path, "list")
        return reader.make_choice(
            name, at, [reader.read_number((*at, index)) for index in range(len(reader.read_items(at)))]
        )
    if kind == "categorical":
        return reader.make_choice(name, (*path, "list"), _read_choices(reader, (*path, "list"), name))
    return _read_range(reader, name, path, whole=kind == "int")


def _read_choices(reader: Reader, path: KeyPath, name: str) -> list[Any]:
    """Return the texts of a list as numbers or booleans if all stand for them: on a command line they look alike."""
    texts = reader.read_items(path)
    numbers = [parse_number(text) if isinstance(text, str) else None for text in texts]
    if all(number is not None for number in numbers):
        reader.note(path, f"all are texts that are numbers: {name} takes the numbers")
        return numbers
    if all(text in ("true", "false", "True", "False") for text in texts):
        reader.note(path, f"all are the texts true and false: {name} takes the booleans")
        return [text.lower() == "true" for text in texts]
    return texts


def _read_range(reader: Reader, name: str, path: KeyPath, *, whole: bool) -> Parameter:
    space = reader.document.get(path)
    low, high = (reader.read_number((*path, key), whole=whole) for key in ("min", "max"))
    step = reader.read_number((*path, "step"), whole=whole) if space.get("step") else None
    distribution = space.get("distribution") or "uniform"
    if distribution not in _DISTRIBUTIONS:
        hint = suggest_choice(str(distribution), _DISTRIBUTIONS)
        raise reader.make_error((*path, "distribution"), f"unknown distribution {describe(distribution)}; {hint}")
    log = distribution.startswith("log")
    if distribution.endswith("ormal"):
        message = f"a normal distribution has no equivalent: {name} is even over its range"
        reader.note((*path, "distribution"), message + (", on a logarithmic scale" if log else ""))
    # Katib's step is added, on every scale: 1 means no more than "whole numbers".
    if whole and step == 1:
        step = None
    if log and step is not None:
        reader.note((*path, "step"), f"additive steps on a logarithmic scale have no equivalent: {name} has none")
        step = None
    return reader.make_range(name, path, Range(low, high, whole, log, step))


def _write_parameter(parameter: Parameter, losses: Losses) -> dict[str, Any]:
    if not isinstance(parameter, (Categorical, Fixed)) and parameter.log and parameter.step is not None:
        parameter = losses.remove_step(parameter)
    feasible: dict[str, Any]
    if isinstance(parameter, (Categorical, Fixed)):
        if any(value is None for value in parameter.bounds):
            losses.add("has no null; the text null stands in for it in", parameter.name)
        kind = "discrete" if all(is_number(value) for value in parameter.bounds) else "categorical"
        feasible = {"list": [_format_text(value) for value in parameter.bounds]}
    else:
        kind = "int" if isinstance(parameter, Int) else "double"
        feasible = {"min": _format_text(parameter.low), "max": _format_text(parameter.high)}
        if parameter.step is not None:
            feasible["step"] = _format_text(parameter.step)
        if parameter.log:
            feasible["distribution"] = "logUniform"
    return {"name": parameter.name, "parameterType": kind, "feasibleSpace": feasible}


def _format_text(value: Value) -> str:
    return repr(value) if isinstance(value, float) else format_value(value)
