"""Plain data with the place of every key: what a YAML or JSON file holds, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from search_spaces.errors import InputError, Place, Problem
from search_spaces.values import describe

KeyPath = tuple[str | int, ...]

# Chosen, far beyond any study file and far within Python's limit of recursion.
MAX_DEPTH = 40


@dataclass(frozen=True)
class Document:
    """Plain data with the place of every key.

    Attributes:
        data: dict, list, str, int, float, bool and None on every level.
        file: name of the file in messages.
        key_places: per path the place of the key (in a list, of the item).
        value_places: per path the start of its value.
        unquoted: paths of the text values that are written without quotes.
    """

    data: dict[str, Any]
    file: str
    key_places: Mapping[KeyPath, Place] = field(default_factory=dict, repr=False)
    value_places: Mapping[KeyPath, Place] = field(default_factory=dict, repr=False)
    unquoted: frozenset[KeyPath] = field(default=frozenset(), repr=False)

    def find_place(self, path: KeyPath) -> Place | None:
        """Return the place of a problem with `path`: a plain value, or the key of a mapping, list or null.

        For a path that is not in the file it is the nearest path above; None for data without a file.
        """
        path = tuple(path)
        if path in self.value_places and isinstance(self.get(path), (str, int, float)):
            return self.value_places[path]
        return self.find_key_place(path)

    def find_key_place(self, path: KeyPath) -> Place | None:
        """Return the place of the key, or of the nearest known key above it."""
        path = tuple(path)
        while path not in self.key_places and path:
            path = path[:-1]
        return self.key_places.get(path)

    def make_problem(self, path: KeyPath, message: str) -> Problem:
        """Return a problem with its dotted path and its place."""
        return Problem(message, format_path(path), self.find_place(path))

    def make_key_problem(self, path: KeyPath, message: str) -> Problem:
        """Return a problem with a key instead of its value."""
        return Problem(message, format_path(path), self.find_key_place(path))

    def get(self, path: KeyPath, default: object = None) -> Any:
        """Return the data at `path`."""
        found: Any = self.data
        for part in path:
            # A range, so that no negative index finds anything.
            known = found if isinstance(found, dict) else range(len(found)) if isinstance(found, list) else ()
            if part not in known:
                return default
            found = found[part]
        return found

    def replace_value(self, path: KeyPath, value: object, file: str) -> Document:
        """Return the document with one value set; its place is `file` as a whole (such as `--set a.b=1`).

        A part of `path` made of digits is an index in a list. Missing mappings on the path are created.

        Raises:
            InputError: if a part of the path is neither mapping nor list, a list is too short, or the path too long.
        """
        if len(path) > MAX_DEPTH:
            raise InputError(Problem(f"the key is nested deeper than {MAX_DEPTH} levels", file))
        value = _copy_plain(value, file)
        data, path = _set_value(self.data, tuple(path), value, file)
        place = Place(file, 0, 0)
        kept = {known: other for known, other in self.key_places.items() if known[: len(path)] != path}
        values = {known: other for known, other in self.value_places.items() if known[: len(path)] != path}
        made = {path[: length + 1]: place for length in range(len(path)) if path[: length + 1] not in kept}
        return replace(
            self,
            data=data,
            key_places={**kept, **made},
            value_places={**values, path: place},
            unquoted=frozenset(known for known in self.unquoted if known[: len(path)] != path),
        )


def make_document(data: object, file: str = "") -> Document:
    """Return a document for data made in Python; its problems have paths, but no places.

    Raises:
        InputError: if it is not a mapping with text keys, or has values that a study file cannot hold.
    """
    plain = _copy_plain(data, file)
    if not isinstance(plain, dict):
        raise InputError(Problem(f"expected a mapping, got {type(data).__name__}", file))
    return Document(plain, file)


def format_path(path: Sequence[str | int]) -> str:
    """Return `space.l2.choices[2]` for a path."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if len(part) <= 100 else part[:97] + "..."
            text += f".{shown}" if text else shown
    return text


def _copy_plain(value: object, file: str, path: KeyPath = ()) -> Any:
    """Return a copy of Python data with lists for tuples."""
    if len(path) > MAX_DEPTH:
        raise InputError(Problem(f"nested deeper than {MAX_DEPTH} levels", file))
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(Problem(f"expected text as a key, got {key!r}", format_path(path) or file))
        return {key: _copy_plain(item, file, (*path, key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy_plain(item, file, (*path, index)) for index, item in enumerate(value)]
    # Exact types: YAML's writer knows no subclass, such as NumPy's float64.
    if value is None or type(value) in (str, int, float, bool):
        return value
    message = f"expected a mapping, list, text, number, true, false or null, got {type(value).__name__}"
    raise InputError(Problem(message, format_path(path) or file))


def _set_value(holder: Any, path: KeyPath, value: object, file: str) -> tuple[Any, KeyPath]:
    """Return a copy of `holder` with the value set, and the path with list indexes as numbers."""
    if not path:
        return value, ()
    part, rest = path[0], path[1:]
    if isinstance(holder, list):
        if not str(part).isdecimal() or int(part) >= len(holder):
            raise InputError(Problem(f'expected a number from 0 to {len(holder) - 1} for the list, got "{part}"', file))
        index = int(part)
        inner, tail = _set_value(holder[index], rest, value, file)
        return [*holder[:index], inner, *holder[index + 1 :]], (index, *tail)
    if holder is not None and not isinstance(holder, dict):
        message = f'"{part}" cannot be set inside {describe(holder)}; set the whole key instead'
        raise InputError(Problem(message, file))
    inner, tail = _set_value((holder or {}).get(str(part)), rest, value, file)
    return {**(holder or {}), str(part): inner}, (str(part), *tail)
