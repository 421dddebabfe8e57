"""Policy on what a submitted study may name: data in the operator's folders, code and clusters on the operator's lists.

The rest of the study file is checked as on the command line. Paths are resolved before they are compared, links and
`..` included, and the resolved path is stored.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.data.reading.source_paths import expand_pattern, is_loader
from pipelines.operations.uploads import UPLOADS
from pipelines.service.config import ServiceSpec
from pipelines.spec.code_references import is_reference
from pipelines.spec.data_spec import SOURCE_KEYS
from pipelines.spec.source_urls import explain_refused_url, is_below, is_url
from search_spaces.errors import InputError, Problem, suggest_choice
from search_spaces.shipped_spaces import list_shipped
from search_spaces.yaml_document import Document, KeyPath

_WEIGHTS: KeyPath = ("training", "weights")
_ADDRESS: KeyPath = ("resources", "address")
_MAX_LISTED = 100


def confine_paths(document: Document, spec: ServiceSpec, uploads: Path) -> Document:
    """Return a study's document with the full paths of the files that it names.

    Raises:
        InputError: with a problem for each file that it may not name.
    """
    problems: list[Problem] = []
    changed: list[tuple[KeyPath, str | list[str]]] = []
    for keys, written in _list_named_paths(document):
        try:
            found = [path for each in written for path in _resolve_allowed(keys, each, spec, uploads)]
            changed.append((keys, found[0] if len(found) == 1 else found))
        except InputError as error:
            problems += [document.make_problem(keys, problem.message) for problem in error.problems]
    problems += [
        document.make_problem(keys, f"only shipped spaces can be extended here; {suggest_choice(name, list_shipped())}")
        for keys, name in _list_extended_spaces(document)
        if name not in list_shipped()
    ]
    if (problem := _check_address(document, spec.ray)) is not None:
        problems.append(problem)
    if problems:
        raise InputError(problems)
    data = copy.deepcopy(document.data)
    for keys, path in changed:
        part: Any = data if len(keys) == 1 else data[str(keys[0])]
        part[keys[-1]] = path
    return replace(document, data=data)  # the lines and columns for messages stay those of the file that was sent


def _list_named_paths(document: Document) -> Iterator[tuple[KeyPath, list[str]]]:
    data = document.data.get("data")
    for key in SOURCE_KEYS:
        written = data.get(key) if isinstance(data, dict) else None
        names = written if isinstance(written, list) else [written]
        # Whatever else is refused by the check of the keys.
        if (texts := [name for name in names if isinstance(name, str)]) and len(texts) == len(names):
            yield ("data", key), texts
    training = document.data.get("training")
    if isinstance(training, dict) and isinstance(weights := training.get("weights"), str):
        yield _WEIGHTS, [weights]
    if is_reference(model := document.data.get("model")):
        yield ("model",), [str(model)]


def _list_extended_spaces(document: Document) -> Iterator[tuple[KeyPath, str]]:
    written: Any = document.get(("space", "extends"))
    if isinstance(written, str):
        yield ("space", "extends"), written
    for index, name in enumerate(written if isinstance(written, list) else ()):
        if isinstance(name, str):
            yield ("space", "extends", index), name


def _check_address(document: Document, allowed: Sequence[str]) -> Problem | None:
    """Return the problem of a cluster's address: code of any cluster could run in the supervisor's process."""
    written = document.get(_ADDRESS)
    if written is None or written in allowed:
        return None
    return document.make_problem(
        _ADDRESS, f"{written} is not on this service's list of Ray clusters; {suggest_choice(str(written), allowed)}"
    )


def _resolve_allowed(keys: KeyPath, written: str, spec: ServiceSpec, uploads: Path) -> list[str]:
    """Return the path that is named; the paths of all files that fit a pattern."""
    if keys == _WEIGHTS:
        return [_resolve_data(written, spec, uploads)]
    if keys == ("model",) or is_loader(written):
        return [_resolve_code(written, spec.code)]
    if written.startswith(("sklearn:", "keras:")):
        return [written]
    if is_url(written):
        return [_allow_url(written, spec.urls)]
    fitting: set[str] = set()
    # A pattern that leaves the data folders would find out what else is on the disk.
    if not Path(written).is_absolute() and ".." not in Path(written).parts:
        fitting = {name for folder in spec.data for name in expand_pattern(written, Path(folder).resolve())}
    # Each is resolved by itself: a link among them may lead anywhere.
    return [_resolve_data(name, spec, uploads) for name in sorted(fitting) or [written]]


def _allow_url(written: str, allowed: list[str]) -> str:
    # First, since what is refused for its credentials must not be repeated.
    if problem := explain_refused_url(written):
        raise InputError(problem)
    if is_below(written, allowed):
        return written
    listed = f"addresses below {', '.join(allowed)}" if allowed else "no addresses, only files in its data folders"
    raise InputError(f"this service reads {listed}, got {written}")


def _resolve_code(written: str, allowed: Sequence[str]) -> str:
    """Return the entry of the list that is named: in full, or by the end of its path."""
    # With the slash: `evil.py:build` must not match the entry `/code/not-evil.py:build`.
    meant = [entry for entry in allowed if entry == written or entry.endswith(f"/{written}")]
    if len(meant) == 1:
        # The entry and never what was written: relative to the home, that could be another file.
        return meant[0]
    known = [entry.rpartition("/")[2] for entry in allowed]
    message = f"{written} is not on this service's list of code; {suggest_choice(written, known)}"
    raise InputError(
        message if not meant else f"{written} is on this service's list several times; write more of its path"
    )


def _resolve_data(written: str, spec: ServiceSpec, uploads: Path) -> str:
    roots = [Path(folder).resolve() for folder in spec.data]
    places = [(root / written, root) for root in roots]
    first, _, rest = written.partition("/")
    if first == UPLOADS and rest:
        places.append((uploads / rest, uploads.resolve()))
    for place, root in places:
        try:
            path = place.resolve()
            # Compared after links and `..` are resolved: a link in a data folder may point to /etc. The root is no data
            # set.
            if path.is_relative_to(root) and path != root and path.exists():
                return str(path)
        except (OSError, ValueError):  # an impossible file name
            continue
    # Only what lies at the top of the data folders is ever named: an answer must not map the disk.
    near = [entry.name for root in roots for entry in sorted(root.iterdir())[:_MAX_LISTED] if entry.name[:1] != "."]
    raise InputError(f"this service has no data called {written}; {suggest_choice(written, near)}")
