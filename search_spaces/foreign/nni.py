"""NNI: a search space's JSON, or the YAML of an experiment that has it under `searchSpace`.

Its conditions are nested choices: `{"_name": "sgd", "momentum": {...}}` exists where `sgd` is chosen. A nested
parameter keeps its name here where no other has it, and gets its parents' names in front otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard

from search_spaces.conditions import Condition
from search_spaces.errors import InputError, suggest_choice
from search_spaces.foreign.base import ExportResult, ImportResult
from search_spaces.foreign.exporter import Losses, steps_are_multiples
from search_spaces.foreign.importer import Range, Reader, When, make_valid_name
from search_spaces.parameters import Categorical, Fixed, Float, Int, Parameter
from search_spaces.space import Space
from search_spaces.values import Value, describe
from search_spaces.yaml_document import Document, KeyPath

NAME = "nni"
TITLE = "NNI"
LOOKS_LIKE = "a mapping of names to {_type, _value}, alone or under `searchSpace`"

_MOST_COPIES = 100  # a parameter that several choices bring stands below each of them
_SINGLE = (str, int, float, type(None))
_SIZES = {
    **{"randint": 2, "uniform": 2, "quniform": 3, "loguniform": 2, "qloguniform": 3},
    **{"normal": 2, "qnormal": 3, "lognormal": 2, "qlognormal": 3},
}


def recognises(document: Document) -> bool:
    """Return whether a document looks like this format."""
    if _has_space_file(document):
        return True
    content = document.get(_find_base(document))
    return isinstance(content, dict) and any(isinstance(e, dict) and "_type" in e for e in content.values())


def read(document: Document) -> ImportResult:
    """Return a search space.

    Raises:
        InputError: with every problem found.
    """
    if _has_space_file(document):
        file = document.data["searchSpaceFile"]
        message = f"the space of this experiment is in another file; import {describe(file)}, which lies beside it"
        raise InputError(document.make_problem(("searchSpaceFile",), message))
    reader = Reader(document)
    reader.read_mapping(_find_base(document), '{"lr": {"_type": "uniform", "_value": [0, 1]}}')
    found = list(_list_entries(document, _find_base(document), _Entry((), (), ())))
    scopes: dict[str, set[tuple[str, ...]]] = {}
    for entry in found:
        scopes.setdefault(entry.chain[-1], set()).add(entry.chain[:-1])
    for entry in found:
        reader.take(entry.path, partial(_read, reader, entry, scopes))
    return reader.make_result()


def write(space: Space) -> ExportResult:
    """Return a search space, with the children of a choice nested in it."""
    losses = Losses(TITLE)
    losses.add_space(space, conditions=False)
    nests = _choose_nests(space, losses)
    return ExportResult(
        json.dumps(_write_below(None, None, space, nests, losses), indent=2) + "\n", losses.make_notes()
    )


@dataclass(frozen=True)
class _Entry:
    """A parameter as it stands in a file.

    Attributes:
        chain: its name behind the names of the choices that it is nested in.
        choices: those choices, outermost first, each with the value that must be chosen.
    """

    path: KeyPath
    chain: tuple[str, ...]
    choices: tuple[tuple[tuple[str, ...], Value], ...]


def _has_space_file(document: Document) -> bool:
    return isinstance(document.data.get("searchSpaceFile"), str) and "searchSpace" not in document.data


def _find_base(document: Document) -> KeyPath:
    return next(((key,) for key in ("searchSpace", "search_space") if isinstance(document.data.get(key), dict)), ())


def _list_entries(document: Document, path: KeyPath, holder: _Entry) -> Iterator[_Entry]:
    for name, content in document.get(path).items():
        if name == "_name":
            continue
        entry = _Entry((*path, name), (*holder.chain, name), holder.choices)
        yield entry
        values = content.get("_value") if isinstance(content, dict) and content.get("_type") == "choice" else None
        for index, value in enumerate(values) if _is_nested(values) else ():
            below = _Entry((), entry.chain, (*entry.choices, (entry.chain, value["_name"])))
            yield from _list_entries(document, (*entry.path, "_value", index), below)


def _is_nested(values: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(values, list) and all(
        isinstance(value, dict) and "_name" in value and isinstance(value["_name"], _SINGLE) for value in values
    )


def _read(reader: Reader, entry: _Entry, scopes: dict[str, set[tuple[str, ...]]]) -> Parameter | None:
    def choose_name(chain: tuple[str, ...]) -> str:
        return chain[-1] if len(scopes[chain[-1]]) == 1 else "/".join(chain)

    path = entry.path
    content = reader.read_mapping(path, '{"_type": "uniform", "_value": [0, 1]}')
    name = reader.read_name(path, choose_name(entry.chain))
    when = tuple(Condition(make_valid_name(choose_name(chain)), "in", (value,)) for chain, value in entry.choices)
    kind, at = content.get("_type"), (*path, "_value")
    if kind == "choice":
        values = reader.read_items(at)
        return reader.make_choice(name, at, [v["_name"] for v in values] if _is_nested(values) else values, when=when)
    if not isinstance(kind, str) or kind not in _SIZES:
        hint = suggest_choice(str(kind), ("choice", *_SIZES))
        raise reader.make_error((*path, "_type"), f"unknown type {describe(kind)}; {hint}")
    if len(reader.read_items(at)) != _SIZES[kind]:
        raise reader.make_error(at, f"expected {_SIZES[kind]} numbers for {kind}, got {len(reader.read_items(at))}")
    return _read_range(reader, name, at, kind, when)


def _read_range(reader: Reader, name: str, path: KeyPath, kind: str, when: When) -> Parameter:
    first, second, *rest = (reader.read_number((*path, index)) for index in range(_SIZES[kind]))
    log = "log" in kind
    if "normal" in kind:
        return reader.make_normal(name, path, first, second, log=log, q=rest[0] if rest else None, when=when)
    if kind == "randint":
        # NNI's randint leaves its upper end out.
        low, upper = (int(reader.read_number((*path, index), whole=True)) for index in (0, 1))
        return reader.make_range(name, path, Range(low, upper - 1, whole=True), when=when)
    if not rest:
        return reader.make_range(name, path, Range(first, second, log=log), when=when)
    return reader.make_multiples(name, path, first, second, rest[0], log=log, when=when)


def _choose_nests(space: Space, losses: Losses) -> dict[str, Condition | None]:
    """Return for each parameter the condition that it is nested by: one on a choice, the innermost of them."""
    nests: dict[str, Condition | None] = {}
    copies: dict[str, int] = {}
    for parameter in space.declared:
        chosen = {test: space.parameters[test.parent] for test in parameter.when}
        listed = {test: len(parent.when) for test, parent in chosen.items() if isinstance(parent, Categorical)}
        # A parent with more conditions stands deeper.
        nest = max(listed, key=listed.__getitem__, default=None)
        times = sum(nest.holds(choice) for choice in chosen[nest].bounds) * copies[nest.parent] if nest else 1
        if times > _MOST_COPIES:
            nest, times = None, 1
        nests[parameter.name], copies[parameter.name] = nest, times
        for test in parameter.when:
            if test is not nest:
                losses.add("has conditions on one choice only; not kept", f"{parameter.name} ({test})")
    return nests


def _write_below(
    parent: str | None, choice: Value, space: Space, nests: dict[str, Condition | None], losses: Losses
) -> dict[str, Any]:
    """Return the parameters that exist where `choice` is chosen for `parent`; the outermost where there is none."""
    below: dict[str, Any] = {}
    for parameter in space.declared:
        nest = nests[parameter.name]
        if (nest is None and parent is None) or (nest is not None and nest.parent == parent and nest.holds(choice)):
            below[parameter.name] = _write_parameter(parameter, space, nests, losses)
    return below


def _write_parameter(
    parameter: Parameter, space: Space, nests: dict[str, Condition | None], losses: Losses
) -> dict[str, Any]:
    if isinstance(parameter, (Float, Int)) and parameter.step is not None and not steps_are_multiples(parameter):
        parameter = losses.remove_step(parameter)
    if isinstance(parameter, (Categorical, Fixed)):
        values: list[Any] = list(parameter.bounds)
        if any(nest is not None and nest.parent == parameter.name for nest in nests.values()):
            values = [{"_name": v, **_write_below(parameter.name, v, space, nests, losses)} for v in values]
        return {"_type": "choice", "_value": values}
    low, high = parameter.bounds
    if parameter.step is not None:
        return {"_type": "quniform", "_value": [low, high, parameter.step]}
    if isinstance(parameter, Float):
        return {"_type": "loguniform" if parameter.log else "uniform", "_value": [low, high]}
    if parameter.log:
        return {"_type": "qloguniform", "_value": [low, high, 1]}
    return {"_type": "randint", "_value": [parameter.low, parameter.high + 1]}
