"""Reads YAML 1.2 or JSON text into plain data, and knows where in the file every key stands.

Only what a reader can see on the page is accepted: no anchors, tags, merge keys or directives, no key twice. The
text is read as a stream of ruamel's events and not as ruamel's nodes, so that depth, size and aliases are refused
as soon as they are seen; nesting costs the parser time that grows with the square of the depth.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
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

KeyPath = tuple[str | int, ...]

MAX_BYTES = 256_000
MAX_DEPTH = 40
MAX_ITEMS = 5_000

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_#/ -]+")


@dataclass(frozen=True)
class Document:
    """Plain data with the place of every key.

    Attributes:
        data: the top level: dict, list, str, int, float, bool and None all the way down.
        file: what messages call the file.
        key_places: per path, where the key (in a list, the item) stands.
        value_places: per path, where its value begins.
        unquoted: paths of the values that are text and written without quotes.
    """

    data: dict[str, Any]
    file: str
    key_places: Mapping[KeyPath, Place] = field(default_factory=dict, repr=False)
    value_places: Mapping[KeyPath, Place] = field(default_factory=dict, repr=False)
    unquoted: frozenset[KeyPath] = field(default=frozenset(), repr=False)

    def place(self, path: KeyPath) -> Place | None:
        """Return where a problem with `path` is shown: at a plain value, or at the key of a mapping, list or null.

        For a path that is not in the file it is the nearest one above it that is; None for data without a file.
        """
        path = tuple(path)
        if path in self.value_places and isinstance(self.get(path), (str, int, float)):
            return self.value_places[path]
        return self.key_place(path)

    def key_place(self, path: KeyPath) -> Place | None:
        """Return where the key itself stands, or the nearest known one above it."""
        path = tuple(path)
        while path not in self.key_places and path:
            path = path[:-1]
        return self.key_places.get(path)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Return a problem with its dotted path and its place."""
        return Problem(message, dotted(path), self.place(path))

    def key_problem(self, path: KeyPath, message: str) -> Problem:
        """Return a problem with a key, not with its value."""
        return Problem(message, dotted(path), self.key_place(path))

    def get(self, path: KeyPath, default: object = None) -> Any:
        """Return the data at `path`."""
        here: Any = self.data
        for part in path:
            known = here if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
            if part not in known:
                return default
            here = here[part]
        return here

    def with_value(self, path: KeyPath, value: object, file: str) -> Document:
        """Return the document with one value set, its place being `file` as a whole (such as `--set a.b=1`).

        A part of `path` made of digits counts in a list. Mappings on the way are made where they are missing.

        Raises:
            InputError: if something on the way is neither mapping nor list, a list is too short, or the way too long.
        """
        if len(path) > MAX_DEPTH:
            raise InputError(Problem(f"the key is nested deeper than {MAX_DEPTH} levels", file))
        value = _plain(value, file)
        data, path = _set(self.data, tuple(path), value, file)
        here = Place(file, 0, 0)
        kept = {known: place for known, place in self.key_places.items() if known[: len(path)] != path}
        values = {known: place for known, place in self.value_places.items() if known[: len(path)] != path}
        made = {path[: length + 1]: here for length in range(len(path)) if path[: length + 1] not in kept}
        return replace(
            self,
            data=data,
            key_places={**kept, **made},
            value_places={**values, path: here},
            unquoted=frozenset(known for known in self.unquoted if known[: len(path)] != path),
        )


def read_document(path: Path) -> Document:
    """Read a YAML or JSON file.

    Raises:
        InputError: if it cannot be read, or its text is not what `parse_document` takes.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file{_likely(path)}") from None
    except IsADirectoryError:
        raise InputError(f"{file}: expected a file, got a folder; name the YAML file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{file}: cannot be read: {reason}") from None
    if len(raw) > MAX_BYTES:
        raise _refusal(
            file, 1, 1, f"the file is larger than {MAX_BYTES // 1000} kB, which no study needs; is it the data?"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        line, column = _position(before, len(before))
        message = f"the file is not UTF-8 text (byte 0x{raw[error.start]:02x}); save it as UTF-8"
        raise _refusal(file, line, column, message) from None
    return parse_document(text, file)


def parse_document(text: str, file: str) -> Document:
    """Read YAML 1.2 or JSON text whose top level is a mapping.

    Args:
        text: what the file holds.
        file: what messages call it; a name that ends in `.json` makes it JSON and nothing more.

    Raises:
        InputError: with the place in the text, if it is not valid, or uses what is refused (see the module).
    """
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_BYTES:
        raise _refusal(file, 1, 1, f"the text is longer than {MAX_BYTES // 1000} kB, which no study needs")
    if found := _CONTROL.search(text):
        line, column = _position(text, found.start())
        message = f"the character U+{ord(found[0]):04X} is not text; remove it"
        raise _refusal(file, line, column, message)
    json_error = _json_error(text)
    if file.lower().endswith(".json") and json_error is not None:
        line, column = _position(text, json_error.pos)
        raise _refusal(file, line, column, f"this is not valid JSON: {json_error.msg.lower()}")
    if json_error is None:
        # YAML forbids tabs between tokens in places where JSON has them; inside JSON's strings there are none.
        text = text.replace("\t", " ")
    return _Builder(text, file).build()


def plain_document(data: object, file: str = "") -> Document:
    """Return a document for data made in Python; its problems have paths, but no places.

    Raises:
        InputError: if it is not a mapping with text keys, or holds what a study file cannot hold.
    """
    plain = _plain(data, file)
    if not isinstance(plain, dict):
        raise InputError(Problem(f"expected a mapping, got {type(data).__name__}", file))
    return Document(plain, file)


def to_yaml(data: object) -> str:
    """Return plain data as YAML that `parse_document` reads back as the same."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares it as None
    writer.width = 120
    writer.allow_unicode = True
    writer.representer.ignore_aliases = lambda _: True
    writer.representer.add_representer(float, _float_as_yaml)
    writer.representer.add_representer(str, _text_as_yaml)
    stream = StringIO()
    writer.dump(data, stream)
    return stream.getvalue()


def dotted(path: Sequence[str | int]) -> str:
    """Return `space.l2.choices[2]` for a path."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if len(part) <= 100 else part[:97] + "..."
            text += f".{shown}" if text else shown
    return text


@dataclass
class _Open:
    """A mapping or list that is being read: `key` is the key whose value comes next."""

    path: KeyPath
    into: dict[str, Any] | list[Any]
    key: str | None = None

    def next_path(self) -> KeyPath:
        return (*self.path, len(self.into) if isinstance(self.into, list) else str(self.key))


class _Builder:
    """Builds a `Document` from the parser's events, without recursion."""

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
        for count, event in enumerate(self._events()):
            if count > 2 * MAX_ITEMS:
                raise self._refusal(event, f"there are more than {MAX_ITEMS} keys and items, which no study needs")
            self._take(event)
        if self._documents == 0 or self._root is None:
            raise _refusal(self._file, 1, 1, "the file is empty; expected a mapping such as `study: my-study`")
        if not isinstance(self._root, dict):
            message = f"expected a mapping (`key: value` lines) at the top level, got {described(self._root)}"
            place = self._values[()]
            raise _refusal(self._file, place.line, place.column, message)
        self._keys[()] = self._values[()]
        return Document(self._root, self._file, self._keys, self._values, frozenset(self._unquoted))

    def _events(self) -> Iterator[Event]:
        try:
            yield from YAML(typ="safe", pure=True).parse(self._text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise _refusal(self._file, line, column, _in_our_words(error)) from None
        except (YAMLError, ValueError, OverflowError, LookupError, TypeError, AttributeError, AssertionError):
            # Besides its own errors ruamel's scanner lets a few of Python's through for odd escapes and directives.
            raise _refusal(self._file, 1, 1, "this is not valid YAML") from None

    def _take(self, event: Event) -> None:
        if isinstance(event, DocumentStartEvent):
            self._begin_document(event)
        elif isinstance(event, AliasEvent):
            raise self._refusal(event, f"`*{event.anchor}` stands for a value elsewhere; write the value out")
        elif isinstance(event, (ScalarEvent, MappingStartEvent, SequenceStartEvent)):
            self._take_node(event)
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            self._open.pop()

    def _begin_document(self, event: DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._refusal(event, "a second document begins at `---`; expected one document in a file")
        if event.version is not None or event.tags:
            raise self._refusal(event, "directives such as `%YAML` are not used here; remove the line")

    def _take_node(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent) -> None:
        self._refuse_extras(event)
        holder = self._open[-1] if self._open else None
        if holder is not None and isinstance(holder.into, dict) and holder.key is None:
            self._take_key(holder, event)
            return
        path = holder.next_path() if holder else ()
        self._values[path] = self._place(event)
        if holder is None or isinstance(holder.into, list):
            self._keys[path] = self._values[path]
        if isinstance(event, ScalarEvent):
            value: Any = self._scalar(event)
            if event.style is None and isinstance(value, str):
                self._unquoted.add(path)
        else:
            value = {} if isinstance(event, MappingStartEvent) else []
        self._put(holder, value)
        if not isinstance(event, ScalarEvent):
            if len(self._open) >= MAX_DEPTH:
                raise self._refusal(event, f"nested deeper than {MAX_DEPTH} levels, which no study needs")
            self._open.append(_Open(path, value))

    def _take_key(self, holder: _Open, event: NodeEvent) -> None:
        if not isinstance(event, ScalarEvent):
            raise self._refusal(event, "expected text as a key, got a mapping or list; is a quote or a brace missing?")
        key = self._scalar(event)
        if event.style is None and event.value == "<<":
            raise self._refusal(event, "`<<` merges another mapping; write its keys out")
        if not isinstance(key, str):
            shown = event.value or "nothing"
            message = f'expected text as a key, got {shown}; put it in quotes ("{event.value}") if it is a name'
            raise self._refusal(event, message)
        path = (*holder.path, key)
        if key in holder.into:
            first = self._keys[path]
            message = f"the key stands here a second time, after line {first.line}; remove one"
            raise InputError(Problem(message, dotted(path), self._place(event)))
        self._keys[path] = self._place(event)
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
            raise self._refusal(event, f"`&{event.anchor}` marks a value for use elsewhere; write the value out there")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise self._refusal(event, f"the tag `{tag}` is not used here; remove it (quotes make a value text)")

    def _scalar(self, event: ScalarEvent) -> str | int | float | bool | None:
        text = event.value
        if event.style is not None:
            return self._text_value(event, text)
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        try:
            if _INT.fullmatch(text):
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            if _FLOAT.fullmatch(text):
                return float(text)
        except ValueError:
            raise self._refusal(event, "the number has more digits than can be read") from None
        if _SPECIAL_FLOAT.fullmatch(text):
            return float(text.replace(".", "", 1))
        return self._text_value(event, text)

    def _text_value(self, event: ScalarEvent, text: str) -> str:
        if not _CONTROL.search(text):
            return text
        # JSON writes characters beyond U+FFFF as two escapes, which YAML keeps apart.
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if _CONTROL.search(joined) or "\ufffd" in joined:
            raise self._refusal(event, "the text holds an escape for a character that is not text; remove it")
        return joined

    def _place(self, event: Event) -> Place:
        mark: StreamMark = event.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1)

    def _refusal(self, event: Event, message: str) -> InputError:
        return InputError(Problem(message, place=self._place(event)))


def described(value: object) -> str:
    """Return a value as messages show it: its kind in a person's words, and the value."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = _LINE_BREAK.sub("\\\\n", value[:61])
        return f'the text "{text if len(text) <= 60 else text[:57] + "..."}"'
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, int) and abs(value) > 10**20:
        return "a whole number with many digits"
    return str(value) if isinstance(value, (int, float)) else f"a {type(value).__name__}"


def _in_our_words(error: MarkedYAMLError) -> str:
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


def _json_error(text: str) -> json.JSONDecodeError | None:
    """Return what keeps the text from being JSON; None if it is JSON."""
    try:
        json.loads(text, parse_int=float)
    except json.JSONDecodeError as error:
        return error
    except RecursionError:
        return None  # brackets far too deep, which the builder says with a place
    return None


def _likely(path: Path) -> str:
    """Return a hint at a file next to a missing one that differs only in its ending."""
    for suffix in (".yaml", ".yml", ".json"):
        if path.suffix != suffix and path.with_suffix(suffix).is_file():
            return f'; did you mean "{path.with_suffix(suffix)}"?'
    return "; check the path"


def _position(text: str, index: int) -> tuple[int, int]:
    """Return line and column of a character, both counted from 1."""
    line, start = 1, 0
    for found in _LINE_BREAK.finditer(text, 0, index):
        line, start = line + 1, found.end()
    return line, index - start + 1


def _refusal(file: str, line: int, column: int, message: str) -> InputError:
    return InputError(Problem(message, place=Place(file, line, column)))


def _plain(value: object, file: str, path: KeyPath = ()) -> Any:
    """Return a copy of Python data with lists for tuples."""
    if len(path) > MAX_DEPTH:
        raise InputError(Problem(f"nested deeper than {MAX_DEPTH} levels", file))
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(Problem(f"expected text as a key, got {key!r}", dotted(path) or file))
        return {key: _plain(item, file, (*path, key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, file, (*path, index)) for index, item in enumerate(value)]
    if value is None or type(value) in (str, int, float, bool):
        return value
    message = f"expected a mapping, list, text, number, true, false or null, got {type(value).__name__}"
    raise InputError(Problem(message, dotted(path) or file))


def _set(holder: Any, path: KeyPath, value: object, file: str) -> tuple[Any, KeyPath]:
    """Return a copy of `holder` with the value set, and the path with list indexes as numbers."""
    if not path:
        return value, ()
    part, rest = path[0], path[1:]
    if isinstance(holder, list):
        if not str(part).isdecimal() or int(part) >= len(holder):
            raise InputError(Problem(f'expected a number from 0 to {len(holder) - 1} for the list, got "{part}"', file))
        index = int(part)
        inner, tail = _set(holder[index], rest, value, file)
        return [*holder[:index], inner, *holder[index + 1 :]], (index, *tail)
    if holder is not None and not isinstance(holder, dict):
        message = f'"{part}" cannot be set inside {described(holder)}; set the whole key instead'
        raise InputError(Problem(message, file))
    inner, tail = _set((holder or {}).get(str(part)), rest, value, file)
    return {**(holder or {}), str(part): inner}, (str(part), *tail)


def _float_as_yaml(representer: Any, value: float) -> Any:
    """Write a float so that every reader takes it for one: without a point, `1e-05` is text to YAML 1.1."""
    if math.isfinite(value):
        mantissa, exponent, power = repr(value).partition("e")
        text = f"{mantissa}{'' if '.' in mantissa else '.0'}{exponent}{power}"
        return representer.represent_scalar("tag:yaml.org,2002:float", text)
    text = ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return representer.represent_scalar("tag:yaml.org,2002:float", text)


def _text_as_yaml(representer: Any, value: str) -> Any:
    """Write text plainly only where no reader could take it for anything else."""
    simple = _PLAIN_KEY.fullmatch(value) and value[0].isalpha() and value == value.strip() and " #" not in value
    wordy = simple and value.lower() not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
    style = None if wordy else '"'
    return representer.represent_scalar("tag:yaml.org,2002:str", value, style=style)
