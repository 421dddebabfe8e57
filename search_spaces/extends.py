"""Sources of a space: its entries and those of the spaces that it extends, merged by name before they are parsed.

An entry overrides the one that it extends: a parameter in full, or, where its mapping has none of `type`, `choices` and
`value`, key by key. An override without `when` keeps the condition, because the model decides
whether a parameter exists; `when: null` removes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from search_spaces.errors import InputError, Problem, suggest_choice
from search_spaces.parameters import RESERVED
from search_spaces.shipped_spaces import list_shipped, read_shipped
from search_spaces.values import describe
from search_spaces.yaml_document import Document, KeyPath
from search_spaces.yaml_reader import read_document

# Chosen. Ten files that each extend the next one twice are a thousand spaces, without any cycle.
_MOST_EXTENDED = 100
_LONGEST_LIST = 200
_TRAPS: Mapping[str, str] = {"yes": "true", "on": "true", "no": "false", "off": "false"}


@dataclass(frozen=True)
class Item:
    """One item as written, and its place: a constraint or a starting point.

    Attributes:
        inherited: whether it comes from an extended space.
    """

    content: Any
    document: Document
    path: KeyPath
    inherited: bool

    def make_problem(self, message: str, *keys: str | int) -> Problem:
        """Return a problem with the item, or with the part at `keys`."""
        return self.document.make_problem((*self.path, *keys), message)


@dataclass(frozen=True)
class Entry(Item):
    """One parameter as written.

    Attributes:
        content: the keys of its full form: a list has become `choices`, a single value `value`.
        places: place of the value of each key.
        kept: the keys that an override took over from the space that it extends.
    """

    content: Mapping[str, Any]
    places: Mapping[str, tuple[Document, KeyPath]] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()

    def make_problem(self, message: str, *keys: str | int) -> Problem:
        """Return a problem with the parameter, or with the part at `keys` of its full form."""
        # A key that was taken over is in another file; the override is what the reader can change.
        if keys and keys[0] in self.places and keys[0] not in self.kept:
            document, path = self.places[str(keys[0])]
            return document.make_problem((*path, *keys[1:]), message)
        return self.document.make_key_problem(self.path, message)


@dataclass
class SpaceSource:
    """Entries of a space and of all that it extends, in order."""

    parameters: dict[str, Entry] = field(default_factory=dict)
    constraints: list[Item] = field(default_factory=list)
    start_from: list[Item] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    extended: int = 0


def collect_source(document: Document, at: KeyPath, folder: Path) -> SpaceSource:
    """Return the source of the space at a key of a document, with all spaces that it extends.

    Args:
        document: the document that holds the space.
        at: path of the space in the document.
        folder: base of the paths behind `extends`; in an extended file the base is the folder of that file.
    """
    written = SpaceSource()
    _take(written, document, at, folder, (_identify(document, folder),))
    return written


def _take(written: SpaceSource, document: Document, at: KeyPath, folder: Path, chain: tuple[str, ...]) -> None:
    content = document.get(at)
    if not isinstance(content, dict):
        message = f"expected a mapping of parameters by name, got {describe(content)}"
        written.problems.append(document.make_problem(at, message))
        return
    inherited = len(chain) > 1
    for extended, path in _read_texts(written, document, (*at, "extends"), content.get("extends"), "names of spaces"):
        _extend(written, document, path, extended, folder, chain)
    # Before this file's parameters, so that it can drop a parameter and declare it anew.
    for name, path in _read_texts(written, document, (*at, "drop"), content.get("drop"), "names of parameters"):
        _drop(written, document, path, name)
    for name, value in content.items():
        if (
            name not in RESERVED
            and (entry := _make_entry(written, value, document, (*at, name), inherited)) is not None
        ):
            before = written.parameters.get(name)
            written.parameters[name] = entry if before is None else _override(before, entry, value)
    _take_items(written, written.constraints, document, (*at, "constraints"), inherited)
    # Constraints add up, because each must hold; points of an extended space need not suit this one.
    if "start_from" in content:
        written.start_from.clear()
        _take_items(written, written.start_from, document, (*at, "start_from"), inherited)


def _read_texts(
    written: SpaceSource, document: Document, path: KeyPath, content: object, what: str
) -> list[tuple[str, KeyPath]]:
    """Return the texts of a list, or of a single text, with the path of each."""
    if content is None:
        return []
    if isinstance(content, list):
        items = [(item, (*path, index)) for index, item in enumerate(content)]
    else:
        items = [(content, path)]
    if len(items) > _LONGEST_LIST:
        written.problems.append(
            document.make_problem(path, f"expected at most {_LONGEST_LIST} {what}, got {len(items)}")
        )
        return []
    found = []
    for item, place in items:
        if isinstance(item, str):
            found.append((item, place))
        else:
            written.problems.append(document.make_problem(place, f"expected {what}, got {describe(item)}"))
    return found


def _extend(
    written: SpaceSource, document: Document, path: KeyPath, name: str, folder: Path, chain: tuple[str, ...]
) -> None:
    written.extended += 1
    if written.extended > _MOST_EXTENDED:
        # Reported once, not for each further space.
        if written.extended == _MOST_EXTENDED + 1:
            message = f"more than {_MOST_EXTENDED} spaces extend each other, which no study needs"
            written.problems.append(document.make_problem(path, message))
        return
    try:
        extended = _find(name, folder)
    except InputError as error:
        placed = (found if found.place else document.make_problem(path, found.message) for found in error.problems)
        written.problems += placed
        return
    identity = _identify(extended, folder)
    if identity in chain:
        names = " -> ".join((*chain[chain.index(identity) :], identity))
        message = f"the space extends itself: {names}; remove one of the `extends`"
        written.problems.append(document.make_problem(path, message))
    else:
        _take(written, extended, (), Path(extended.file).parent, (*chain, identity))


def _find(name: str, folder: Path) -> Document:
    if name in list_shipped():
        return read_shipped(name)
    if name.endswith((".yaml", ".yml", ".json")):
        return read_document(folder / name)
    hint = suggest_choice(name, list_shipped())
    raise InputError(f'no shipped space is called "{name}"; {hint}, or the path of a .yaml file')


def _identify(document: Document, folder: Path) -> str:
    """Return an identifier of a document, for cycles of `extends`: its full path where it is a file."""
    path = Path(document.file)
    try:
        return str(path.resolve()) if path.is_file() else str((folder / document.file).resolve())
    # A name too long for the system, or one with a null byte.
    except (OSError, ValueError):
        return document.file


def _drop(written: SpaceSource, document: Document, path: KeyPath, name: str) -> None:
    if written.parameters.pop(name, None) is None:
        message = f'there is no "{name}" to drop in what is extended; {suggest_choice(name, written.parameters)}'
        written.problems.append(document.make_problem(path, message))


def _make_entry(
    written: SpaceSource, value: object, document: Document, path: KeyPath, inherited: bool
) -> Entry | None:
    # A key without a value is more often a forgotten line than a null.
    if value is None:
        message = "expected a value, a list or a mapping, got nothing; `{value: null}` is a fixed null"
        written.problems.append(document.make_problem(path, message))
        return None
    if isinstance(value, dict):
        places = {key: (document, (*path, key)) for key in value}
        content = value
    else:
        key = "choices" if isinstance(value, list) else "value"
        places, content = {key: (document, path)}, {key: value}
    entry = Entry(content, document, path, inherited, places)
    traps = list(_find_traps(entry))
    written.problems += traps
    return None if traps else entry


def _find_traps(entry: Entry) -> list[Problem]:
    """Return problems for each yes, no, on and off without quotes, which YAML 1.1 read as booleans."""
    choices = entry.content.get("choices")
    places = [("choices", index) for index in range(len(choices))] if isinstance(choices, list) else []
    problems = []
    for keys in [*places, ("value",), ("default",)]:
        if keys[0] not in entry.places:
            continue
        document, start = entry.places[str(keys[0])]
        path = (*start, *keys[1:])
        text = document.get(path)
        if path in document.unquoted and (meant := _TRAPS.get(text.lower())):
            message = f'`{text}` is text to YAML 1.2; write {meant}, or "{text}" in quotes if text is meant'
            problems.append(document.make_problem(path, message))
    return problems


def _override(before: Entry, entry: Entry, value: object) -> Entry:
    if isinstance(value, dict) and not {"type", "choices", "value"} & value.keys():
        kept = {key: found for key, found in before.content.items() if key not in value}
    else:
        kept = {key: found for key, found in before.content.items() if key == "when" and key not in entry.content}
    return replace(
        entry,
        content={**kept, **entry.content},
        places={**{key: before.places[key] for key in kept}, **entry.places},
        kept=frozenset(kept),
    )


def _take_items(written: SpaceSource, items: list[Item], document: Document, path: KeyPath, inherited: bool) -> None:
    content = document.get(path)
    if content is None:
        return
    if not isinstance(content, list):
        written.problems.append(document.make_problem(path, f"expected a list, got {describe(content)}"))
        return
    if len(content) > _LONGEST_LIST:
        message = f"expected at most {_LONGEST_LIST} {path[-1]}, got {len(content)}"
        written.problems.append(document.make_problem(path, message))
        return
    items += [Item(item, document, (*path, index), inherited) for index, item in enumerate(content)]
