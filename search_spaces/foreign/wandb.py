"""W&B: a sweep's YAML, of which `parameters` is the space.

Its `log_uniform` takes exponents of e, `log_uniform_values` the ends themselves. Nested parameters become one name
with dots, as in W&B's pages. The format has neither conditions nor defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from search_spaces.errors import suggest_choice
from search_spaces.foreign.base import ExportResult, ImportResult
from search_spaces.foreign.exporter import Losses, steps_are_multiples
from search_spaces.foreign.importer import Range, Reader
from search_spaces.parameters import Categorical, Fixed, Float, Int, Parameter
from search_spaces.space import Space
from search_spaces.values import describe
from search_spaces.yaml_document import Document, KeyPath
from search_spaces.yaml_writer import to_yaml

NAME = "wandb"
TITLE = "W&B"
LOOKS_LIKE = "`parameters`, a mapping of names to mappings with value, values, min and max or distribution"

_PLAIN = ("categorical", "categorical_w_probabilities", "constant", "uniform", "int_uniform", "q_uniform")
_LOG = ("log_uniform", "inv_log_uniform", "q_log_uniform")  # each also with `_values` at its end
_NORMAL = ("normal", "log_normal", "q_normal", "q_log_normal")
_BETA = ("beta", "q_beta")
_KNOWN = (*_PLAIN, *_LOG, *(f"{kind}_values" for kind in _LOG), *_NORMAL, *_BETA)
_OF_SEARCH = ("method", "early_terminate", "run_cap")
# Words that YAML 1.1, which W&B reads, turns into booleans.
_BOOLEANS: Mapping[str, bool] = {"yes": True, "on": True, "no": False, "off": False}


def recognises(document: Document) -> bool:
    """Return whether a document looks like this format."""
    content = document.data.get("parameters")
    return isinstance(content, dict) and all(isinstance(entry, dict) for entry in content.values())


def read(document: Document) -> ImportResult:
    """Return the space of a sweep.

    Raises:
        InputError: with every problem found.
    """
    reader = Reader(document)
    _read_all(reader, ("parameters",), "")
    metric = document.get(("metric",))
    if isinstance(metric, dict):
        reader.note_objective(("metric",), metric.get("name"), metric.get("goal", "minimize"), metric.get("target"))
    for key in _OF_SEARCH:
        if key in document.data:
            reader.note((key,), "is no part of a space; see `search` and `budget` of a study file")
    return reader.make_result()


def write(space: Space) -> ExportResult:
    """Return a sweep with random search, to which program and metric are to be added."""
    losses = Losses(TITLE)
    losses.add_space(space)
    parameters = {parameter.name: _write_parameter(parameter, losses) for parameter in space.declared}
    return ExportResult(to_yaml({"method": "random", "parameters": parameters}), losses.make_notes())


def _read_all(reader: Reader, path: KeyPath, prefix: str) -> None:
    for name, entry in reader.read_mapping(path, "{lr: {min: 0.001, max: 0.1}}").items():
        place, full = (*path, name), f"{prefix}{name}"
        if isinstance(entry, dict) and isinstance(entry.get("parameters"), dict):
            _read_all(reader, (*place, "parameters"), f"{full}.")
        else:
            reader.take(place, partial(_read, reader, full, place))


def _read(reader: Reader, written: str, path: KeyPath) -> Parameter | None:
    entry = reader.read_mapping(path, "{min: 0.001, max: 0.1}")
    name = reader.read_name(path, written)
    kind = entry.get("distribution") or _infer_distribution(entry)
    if kind not in _KNOWN:
        if kind is None:
            raise reader.make_error(path, "expected value, values, min and max, or a distribution")
        hint = suggest_choice(str(kind), _KNOWN)
        raise reader.make_error((*path, "distribution"), f"unknown distribution {describe(kind)}; {hint}")
    if "probabilities" in entry:
        reader.note(
            (*path, "probabilities"), f"probabilities have no equivalent: all choices of {name} are drawn alike"
        )
    if kind.startswith("categorical"):
        at = (*path, "values")
        return reader.make_choice(
            name, at, [_read_yaml_1_1(reader, (*at, i)) for i in range(len(reader.read_items(at)))]
        )
    if kind == "constant":
        boolean = _read_yaml_1_1(reader, (*path, "value"))
        return Fixed(name, boolean) if isinstance(boolean, bool) else reader.make_fixed(name, (*path, "value"))
    q = reader.read_number((*path, "q"), default=1) if kind.startswith("q_") else None
    if kind in _NORMAL:
        mu, sigma = reader.read_number((*path, "mu"), default=0), reader.read_number((*path, "sigma"), default=1)
        return reader.make_normal(name, path, mu, sigma, log="log" in kind, q=q)
    if kind in _BETA:
        reader.note((*path, "distribution"), f"a beta distribution has no equivalent: {name} is even from 0 to 1")
        return reader.make_range(name, path, Range(0.0, 1.0, step=None if q is None else float(q)))
    return _read_range(reader, name, path, kind, q)


def _read_range(reader: Reader, name: str, path: KeyPath, kind: str, q: float | None) -> Parameter:
    log, whole = "log" in kind, kind == "int_uniform"
    low, high = (reader.read_number((*path, key), whole=whole) for key in ("min", "max"))
    if log and not kind.endswith("_values"):
        # Both ends between 0 and 1 are more likely learning rates or shares than exponents.
        if 0 < low < high <= 1:
            ends = f"{reader.compute_power(path, low)} to {reader.compute_power(path, high)}"
            message = f"min and max are exponents of e here, {ends}; was log_uniform_values meant?"
            reader.note((*path, "distribution"), message)
        # inv_log_uniform is even in log(1/x), so the exponents change sign.
        low, high = (-high, -low) if kind == "inv_log_uniform" else (low, high)
        low, high = reader.compute_power(path, low), reader.compute_power(path, high)
    if q is not None:
        return reader.make_multiples(name, path, low, high, q, log=log)
    return reader.make_range(name, path, Range(low, high, whole, log))


def _infer_distribution(entry: Mapping[str, Any]) -> str | None:
    if "values" in entry:
        return "categorical"
    if "value" in entry:
        return "constant"
    if not {"min", "max"} <= entry.keys():
        return None
    # As W&B does it.
    return "int_uniform" if all(isinstance(entry[key], int) for key in ("min", "max")) else "uniform"


def _read_yaml_1_1(reader: Reader, path: KeyPath) -> Any:
    value = reader.document.get(path)
    if path in reader.document.unquoted and value.lower() in _BOOLEANS:
        meant = _BOOLEANS[value.lower()]
        reader.note(path, f"`{value}` without quotes is a boolean to W&B: {str(meant).lower()}")
        return meant
    return value


def _write_parameter(parameter: Parameter, losses: Losses) -> dict[str, Any]:
    if isinstance(parameter, (Float, Int)) and parameter.step is not None and not steps_are_multiples(parameter):
        parameter = losses.remove_step(parameter)
    if isinstance(parameter, Fixed):
        return {"value": parameter.value}
    if isinstance(parameter, Categorical):
        return {"values": list(parameter.choices)}
    low, high = parameter.bounds
    if parameter.step is not None:
        return {"distribution": "q_uniform", "q": parameter.step, "min": low, "max": high}
    if isinstance(parameter, Float):
        return {"distribution": "log_uniform_values" if parameter.log else "uniform", "min": low, "max": high}
    if parameter.log:
        return {"distribution": "q_log_uniform_values", "q": 1, "min": low, "max": high}
    return {"distribution": "int_uniform", "min": low, "max": high}
