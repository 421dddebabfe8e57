"""Reader of YAML 1.2 and JSON text: plain data, with the place of every key.

The page must show all there is: anchors, tags, merge keys, directives and repeated keys are refused. The text is read
as a stream of ruamel's events, not of its nodes, so that depth, size and aliases are refused as soon as they occur:
the time of the parser grows with the square of the depth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from search_spaces.errors import InputError, Place, Problem
from search_spaces.values import LINE_BREAK, describe
from search_spaces.yaml_document import MAX_DEPTH, Document, KeyPath, format_path

MAX_BYTES = 256_000
MAX_ITEMS = 5_000

# The core schema of YAML 1.2: ruamel finds types when it makes nodes, and events have text alone.
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def read_document(path: Path) -> Document:
    """Read a YAML or JSON file.

    Raises:
        InputError: if it cannot be read, or `parse_document` refuses its text.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            # One byte more shows that the file is too large, without a read of all of it.
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file{_suggest_file(path)}") from None
    except IsADirectoryError:
        raise InputError(f"{file}: expected a file, got a folder; name the YAML file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{file}: cannot be read: {reason}") from None
    if len(raw) > MAX_BYTES:
        raise _make_error(
            file, 1, 1, f"the file is larger than {MAX_BYTES // 1000} kB, which no study needs; is it the data?"
        )
    try:
        # Editors on Windows write a byte order mark.
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        line, column = _find_position(before, len(before))
        message = f"the file is not UTF-8 text (byte 0x{raw[error.start]:02x}); save it as UTF-8"
        raise _make_error(file, line, column, message) from None
    return parse_document(text, file)


def parse_document(text: str, file: str) -> Document:
    """Read YAML 1.2 or JSON text whose top level is a mapping.

    Args:
        text: content of the file.
        file: name of the file in messages; behind a name that ends in `.json` only JSON is accepted.

    Raises:
        InputError: with the place in the text, if it is invalid, or has a refused feature (see the module).
    """
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_BYTES:
        raise _make_error(file, 1, 1, f"the text is longer than {MAX_BYTES // 1000} kB, which no study needs")
    if found := _CONTROL.search(text):
        line, column = _find_position(text, found.start())
        message = f"the character U+{ord(found[0]):04X} is not text; remove it"
        raise _make_error(file, line, column, message)
    json_error = _find_json_error(text)
    if file.lower().endswith(".json") and json_error is not None:
        line, column = _find_position(text, json_error.pos)
        raise _make_error(file, line, column, f"this is not valid JSON: {json_error.msg.lower()}")
    if json_error is None:
        # YAML forbids tabs between tokens in places where JSON has them; inside JSON's strings there are none.
        text = text.replace("\t", " ")
    return _Builder(text, file).build()


@dataclass
class _Open:
    """A mapping or list during the reading; the value of `key` comes next."""

    path: KeyPath
    into: dict[str, Any] | list[Any]
    key: str | None = None

    def make_next_path(self) -> KeyPath:
        return (*self.path, len(self.into) if isinstance(self.into, list) else str(self.key))


class _Builder:
    """Builder of a `Document` from the parser's events, without recursion."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._keys: dict[KeyPath, Place] = {}
        self._values: dict[KeyPath, Place] = {}
        self._unquoted: set[KeyPath] = set()
        self._open: list[_Open] = []
        self._root: Any = None
        self._documents = 0

    def build(self) -> Document:
        for count, event in enumerate(self._read_events()):
            # An entry of a mapping is two events: its key and its value.
            if count > 2 * MAX_ITEMS:
                raise self._make_error(event, f"there are more than {MAX_ITEMS} keys and items, which no study needs")
            self._take(event)
        if self._documents == 0 or self._root is None:
            raise _make_error(self._file, 1, 1, "the file is empty; expected a mapping such as `study: my-study`")
        if not isinstance(self._root, dict):
            message = f"expected a mapping (`key: value` lines) at the top level, got {describe(self._root)}"
            place = self._values[()]
            raise _make_error(self._file, place.line, place.column, message)
        self._keys[()] = self._values[()]
        return Document(self._root, self._file, self._keys, self._values, frozenset(self._unquoted))

    def _read_events(self) -> Iterator[Event]:
        try:
            yield from YAML(typ="safe", pure=True).parse(self._text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise _make_error(self._file, line, column, _reword(error)) from None
        except (YAMLError, ValueError, OverflowError, LookupError, TypeError, AttributeError, AssertionError):
            # For odd escapes and directives ruamel's scanner raises a few of Python's errors, not only YAMLError.
            raise _make_error(self._file, 1, 1, "this is not valid YAML") from None

    def _take(self, event: Event) -> None:
        if isinstance(event, DocumentStartEvent):
            self._begin_document(event)
        elif isinstance(event, AliasEvent):
            raise self._make_error(event, f"`*{event.anchor}` stands for a value elsewhere; write the value out")
        elif isinstance(event, (ScalarEvent, MappingStartEvent, SequenceStartEvent)):
            self._take_node(event)
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            self._open.pop()

    def _begin_document(self, event: DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._make_error(event, "a second document begins at `---`; expected one document in a file")
        if event.version is not None or event.tags:
            raise self._make_error(event, "directives such as `%YAML` are not used here; remove the line")

    def _take_node(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> None:
        self._refuse_extras(event)
        holder = self._open[-1] if self._open else None
        if holder is not None and isinstance(holder.into, dict) and holder.key is None:
            self._take_key(holder, event)
            return
        path = holder.make_next_path() if holder else ()
        self._values[path] = self._make_place(event)
        if holder is None or isinstance(holder.into, list):
            self._keys[path] = self._values[path]
        if isinstance(event, ScalarEvent):
            value: Any = self._read_scalar(event)
            if event.style is None and isinstance(value, str):
                self._unquoted.add(path)
        else:
            value = {} if isinstance(event, MappingStartEvent) else []
        self._put(holder, value)
        if not isinstance(event, ScalarEvent):
            if len(self._open) >= MAX_DEPTH:
                raise self._make_error(event, f"nested deeper than {MAX_DEPTH} levels, which no study needs")
            self._open.append(_Open(path, value))

    def _take_key(self, holder: _Open, event: NodeEvent) -> None:
        if not isinstance(event, ScalarEvent):
            raise self._make_error(
                event, "expected text as a key, got a mapping or list; is a quote or a brace missing?"
            )
        key = self._read_scalar(event)
        if event.style is None and event.value == "<<":
            raise self._make_error(event, "`<<` merges another mapping; write its keys out")
        if not isinstance(key, str):
            shown = event.value or "nothing"
            message = f'expected text as a key, got {shown}; put it in quotes ("{event.value}") if it is a name'
            raise self._make_error(event, message)
        path = (*holder.path, key)
        if key in holder.into:
            first = self._keys[path]
            message = f"the key stands here a second time, after line {first.line}; remove one"
            raise InputError(Problem(message, format_path(path), self._make_place(event)))
        self._keys[path] = self._make_place(event)
        holder.key = key

    def _put(self, holder: _Open | None, value: object) -> None:
        if holder is None:
            self._root = value
        elif isinstance(holder.into, list):
            holder.into.append(value)
        else:
            holder.into[str(holder.key)] = value
            holder.key = None

    def _refuse_extras(self, event: NodeEvent) -> None:
        if event.anchor is not None:
            raise self._make_error(
                event, f"`&{event.anchor}` marks a value for use elsewhere; write the value out there"
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self._make_error(event, f"the tag `{tag}` is not used here; remove it (quotes make a value text)")

    def _read_scalar(self, event: ScalarEvent) -> str | int | float | bool | None:
        text = event.value
        if event.style is not None:
            return self._read_text(event, text)
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        try:
            if _INT.fullmatch(text):
                # `int(text, 0)` refuses leading zeros, which are decimal in YAML 1.2.
                number = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
                str(number)  # raises for a number whose digits nobody could print
                return number
            if _FLOAT.fullmatch(text):
                return float(text)
        except ValueError:
            raise self._make_error(event, "the number has more digits than can be read") from None
        if _SPECIAL_FLOAT.fullmatch(text):
            return float(text.replace(".", "", 1))
        return self._read_text(event, text)

    def _read_text(self, event: ScalarEvent, text: str) -> str:
        if not _CONTROL.search(text):
            return text
        # JSON writes characters beyond U+FFFF as two escapes, which YAML keeps apart.
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if _CONTROL.search(joined) or "\ufffd" in joined:
            raise self._make_error(event, "the text holds an escape for a character that is not text; remove it")
        return joined

    def _make_place(self, event: Event) -> Place:
        mark: StreamMark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1)

    def _make_error(self, event: Event, message: str) -> InputError:
        return InputError(Problem(message, place=self._make_place(event)))


def _reword(error: MarkedYAMLError) -> str:
    # ruamel's errors have no codes, and its words are about the parser's states, not about what to change.
    problem = str(error.problem or "this is not valid YAML")
    if "cannot start any token" in problem and "\\t" in problem:
        return "a tab stands where spaces are expected; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "a second `:` in one line, or a key indented too far; put text that holds `: ` in quotes"
    if "could not find expected ':'" in problem:
        return "expected `key: value`; is a `:` missing, or a bracket or quote not closed?"
    if "found unexpected end of stream" in problem:
        return "a quote is opened and never closed"
    if "block end" in problem or "block collection" in problem:
        return "the indentation does not fit the lines above; is a key indented too little or too far?"
    if "expected ',' or" in problem:
        return "a `[` or `{` before this is not closed, or a `,` is missing"
    return f"this is not valid YAML: {problem}"


def _find_json_error(text: str) -> json.JSONDecodeError | None:
    """Return the error of the text as JSON; None if it is JSON."""
    try:
        # As floats, because Python refuses a whole number of more than 4,300 digits.
        json.loads(text, parse_int=float)
    except json.JSONDecodeError as error:
        return error
    except RecursionError:
        return None  # brackets far too deep, which the builder reports with a place
    return None


def _suggest_file(path: Path) -> str:
    """Return a hint at a file beside a missing one that differs only in its ending."""
    for suffix in (".yaml", ".yml", ".json"):
        if path.suffix != suffix and path.with_suffix(suffix).is_file():
            return f'; did you mean "{path.with_suffix(suffix)}"?'
    return "; check the path"


def _find_position(text: str, index: int) -> tuple[int, int]:
    """Return line and column of a character, both counted from 1."""
    line, start = 1, 0
    for found in LINE_BREAK.finditer(text, 0, index):
        line, start = line + 1, found.end()
    return line, index - start + 1


def _make_error(file: str, line: int, column: int, message: str) -> InputError:
    return InputError(Problem(message, place=Place(file, line, column)))
