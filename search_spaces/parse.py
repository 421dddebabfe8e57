"""From the `space` of a study file to a `Space`: every problem with its place, all found in one go.

A parameter is written short (a list is a categorical, a single value is fixed) or in full. `extends` takes over
another space, shipped or from a file; what follows overrides it by name, or, where it gives no type, key by key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from search_spaces.constraint import Constraint, ConstraintError, read_constraint
from search_spaces.document import Document, KeyPath, plain_document, read_document
from search_spaces.errors import InputError, Problem, nearest
from search_spaces.shipped_spaces import read_shipped, shipped_names
from search_spaces.space import (
    LARGEST,
    Categorical,
    Condition,
    Fixed,
    Float,
    Int,
    Parameter,
    Space,
    SpaceError,
    Value,
    read_condition,
)

RESERVED: Final = ("extends", "drop", "constraints", "start_from")
"""Keys of a space that are no parameters."""

_RANGE_KEYS = ("type", "low", "high", "log", "step", "default", "when", "repeat")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "float": _RANGE_KEYS,
    "int": _RANGE_KEYS,
    "categorical": ("type", "choices", "default", "when", "repeat"),
    "fixed": ("type", "value", "when", "repeat"),
}
_MOST_CHOICES = 1000
_MOST_REPEATS = 100
_MOST_PARAMETERS = 2000


def parse_space(document: Document, at: KeyPath = ("space",), *, family_space: str | None = None) -> Space:
    """Return the space that stands at a key of a document.

    Args:
        document: a study file, or a file that holds a space alone.
        at: path of the space; () for a file that holds a space alone.
        family_space: the shipped space that holds where the key is missing or empty.

    Raises:
        InputError: with every problem found.
    """
    written = _at(document, at)
    if not written and family_space is not None:
        written_document, at = read_shipped(family_space), ()
        return parse_space(written_document, at)
    reader = _Reader()
    reader.take(document, at, chain=())
    return reader.space(document, at)


def space_from_dict(written: Mapping[str, Any], *, name: str = "space") -> Space:
    """Return the space that plain data describes, written as in a study file.

    Raises:
        InputError: with every problem found.
    """
    return parse_space(plain_document(dict(written), name), ())


@dataclass(frozen=True)
class _Written:
    """A parameter as written, and where."""

    content: Any
    document: Document
    path: KeyPath

    def problem(self, message: str, *keys: str | int) -> Problem:
        return self.document.problem((*self.path, *keys), message)


class _Reader:
    """Collects what a space and those that it extends say, then makes parameters of it."""

    def __init__(self) -> None:
        self._written: dict[str, _Written] = {}
        self._constraints: list[_Written] = []
        self._start_from: list[_Written] = []
        self._problems: list[Problem] = []

    def take(self, document: Document, at: KeyPath, chain: tuple[str, ...]) -> None:
        """Take over the space at a key, after those that it extends."""
        content = _at(document, at)
        if not isinstance(content, dict):
            self._problems.append(document.problem(at, f"expected parameters by name, got {_shown(content)}"))
            return
        self._take_extended(document, at, content.get("extends"), chain)
        self._take_dropped(document, (*at, "drop"), content.get("drop"))
        for name, written in content.items():
            if name not in RESERVED:
                self._take_parameter(name, _Written(written, document, (*at, name)))
        for key, kept in (("constraints", self._constraints), ("start_from", self._start_from)):
            items = content.get(key, [])
            if not isinstance(items, list):
                self._problems.append(document.problem((*at, key), f"expected a list, got {_shown(items)}"))
                continue
            kept += [_Written(item, document, (*at, key, index)) for index, item in enumerate(items)]

    def space(self, document: Document, at: KeyPath) -> Space:
        """Return the space.

        Raises:
            InputError: with every problem found.
        """
        repeated = self._repeated()
        parameters: dict[str, Parameter] = {}
        for name in self._parents_first(repeated):
            if (parameter := self._parameter(name, repeated[name], parameters)) is not None:
                parameters[name] = parameter
        if len(parameters) > _MOST_PARAMETERS:
            message = f"expected at most {_MOST_PARAMETERS} parameters, got {len(parameters)}"
            self._problems.append(document.problem(at, message))
        known = Space(parameters)
        constraints = tuple(filter(None, [self._constraint(each, parameters) for each in self._constraints]))
        points = tuple(filter(None, [self._point(each, parameters) for each in self._start_from]))
        if self._problems:
            raise InputError(self._problems)
        return replace(known, constraints=constraints, start_from=points)

    # What a space takes over ------------------------------------------------------------------------------

    def _take_extended(self, document: Document, at: KeyPath, extends: object, chain: tuple[str, ...]) -> None:
        if extends is None:
            return
        for index, name in enumerate(extends if isinstance(extends, list) else [extends]):
            path = (*at, "extends", index) if isinstance(extends, list) else (*at, "extends")
            if not isinstance(name, str):
                self._problems.append(document.problem(path, f"expected the name of a space, got {_shown(name)}"))
                continue
            extended = self._find(document, path, name)
            if extended is None:
                continue
            if extended.file in chain:
                message = f"extends itself: {' -> '.join((*chain, extended.file))}"
                self._problems.append(document.problem(path, message))
                continue
            self.take(extended, (), (*chain, extended.file))

    def _find(self, document: Document, path: KeyPath, name: str) -> Document | None:
        if name in shipped_names():
            return read_shipped(name)
        if not name.endswith((".yaml", ".yml", ".json")):
            message = f'no shipped space is called "{name}": {nearest(name, shipped_names())}; or name a .yaml file'
            self._problems.append(document.problem(path, message))
            return None
        try:
            return read_document((Path(document.file).parent / name).resolve())
        except InputError as error:
            self._problems += [each if each.place else document.problem(path, each.message) for each in error.problems]
            return None

    def _take_dropped(self, document: Document, path: KeyPath, dropped: object) -> None:
        if dropped is None:
            return
        if not isinstance(dropped, list) or not all(isinstance(name, str) for name in dropped):
            self._problems.append(document.problem(path, f"expected a list of names, got {_shown(dropped)}"))
            return
        for index, name in enumerate(dropped):
            if self._written.pop(name, None) is None:
                message = f'there is no "{name}" to drop; {nearest(name, self._written)}'
                self._problems.append(document.problem((*path, index), message))

    def _take_parameter(self, name: str, written: _Written) -> None:
        before = self._written.get(name)
        content = written.content
        if (
            before is not None
            and isinstance(content, dict)
            and isinstance(before.content, dict)
            and not {"type", "choices", "value"} & content.keys()
        ):
            written = replace(written, content={**before.content, **content})
        self._written[name] = written

    # Repeats and order ------------------------------------------------------------------------------------

    def _repeated(self) -> dict[str, _Written]:
        """Return what was written with each repeated parameter in place of the one that repeats."""
        expanded: dict[str, _Written] = {}
        for name, written in self._written.items():
            parent = written.content.get("repeat") if isinstance(written.content, dict) else None
            if parent is None:
                expanded[name] = written
            elif (count := self._repeats(written, parent)) is not None:
                content = {key: value for key, value in written.content.items() if key != "repeat"}
                for number in range(1, count + 1):
                    conditions = [*_condition_items(content.get("when")), (parent, f">= {number}")]
                    expanded[f"{name}_{number}"] = replace(
                        written, content={**content, "when": [{key: value} for key, value in conditions]}
                    )
        return expanded

    def _repeats(self, written: _Written, parent: object) -> int | None:
        other = self._written.get(parent) if isinstance(parent, str) else None
        if other is None:
            hint = nearest(str(parent), self._written)
            self._problems.append(written.problem(f'there is no parameter "{parent}" to repeat by; {hint}', "repeat"))
            return None
        content = other.content
        most = content.get("high") if isinstance(content, dict) else content
        most = max(most, default=None, key=_as_count) if isinstance(most, list) else most
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= _MOST_REPEATS:
            message = f'expected "{parent}" to be an int of at most {_MOST_REPEATS}, got {_shown(content)}'
            self._problems.append(written.problem(message, "repeat"))
            return None
        return most

    def _parents_first(self, written: Mapping[str, _Written]) -> list[str]:
        order: list[str] = []
        open_: list[str] = []

        def visit(name: str) -> None:
            if name in order:
                return
            if name in open_:
                circle = " -> ".join((*open_[open_.index(name) :], name))
                self._problems.append(written[name].problem(f"conditions go in a circle: {circle}", "when"))
                return
            open_.append(name)
            content = written[name].content
            when = content.get("when") if isinstance(content, dict) else None
            for parent, _ in _condition_items(when):
                if parent in written:
                    visit(parent)
            open_.pop()
            if name not in order:
                order.append(name)

        for name in written:
            visit(name)
        return order

    # Parameters -------------------------------------------------------------------------------------------

    def _parameter(self, name: str, written: _Written, parents: Mapping[str, Parameter]) -> Parameter | None:
        before = len(self._problems)
        try:
            parameter = self._read(name, written, self._conditions(name, written, parents))
        except SpaceError as error:
            self._problems.append(written.problem(str(error)))
            return None
        return parameter if len(self._problems) == before else None

    def _read(self, name: str, written: _Written, when: tuple[Condition, ...]) -> Parameter | None:
        content = written.content
        if isinstance(content, list):
            return Categorical(name, choices=self._choices(written, content, ()))
        if not isinstance(content, dict):
            return Fixed(name, value=content)
        kind = content.get("type", _implied_type(content))
        if not isinstance(kind, str) or kind not in _KEYS:
            said = f"got {kind!r}; {nearest(str(kind), _KEYS)}" if kind is not None else 'add "type"'
            self._problems.append(written.problem(f"expected a type: {', '.join(_KEYS)}; {said}", "type"))
            return None
        for key in content:
            if key not in _KEYS[kind]:
                self._problems.append(written.problem(f'unknown key "{key}"; {nearest(key, _KEYS[kind])}', key))
        return self._of_kind(kind, name, written, when)

    def _of_kind(self, kind: str, name: str, written: _Written, when: tuple[Condition, ...]) -> Parameter | None:
        content = written.content
        default = content.get("default")
        if kind == "fixed":
            return Fixed(name, value=self._plain(written, "value"), when=when)
        if kind == "categorical":
            choices = self._choices(written, content.get("choices"), ("choices",))
            return Categorical(name, choices=choices, default=default, when=when) if choices else None
        read = self._whole if kind == "int" else self._number
        low, high = read(written, "low"), read(written, "high")
        log = content.get("log", False)
        if not isinstance(log, bool):
            self._problems.append(written.problem(f"expected true or false, got {_shown(log)}", "log"))
        step = read(written, "step") if content.get("step") is not None else None
        if default is not None:
            default = read(written, "default")
        if low is None or high is None or not isinstance(log, bool):
            return None
        if kind == "int":
            return Int(name, low=low, high=high, log=log, step=step, default=default, when=when)
        return Float(name, low=low, high=high, log=log, step=step, default=default, when=when)

    def _conditions(self, name: str, written: _Written, parents: Mapping[str, Parameter]) -> tuple[Condition, ...]:
        content = written.content
        when = content.get("when") if isinstance(content, dict) else None
        if when is None:
            return ()
        if not isinstance(when, dict) and not (isinstance(when, list) and all(isinstance(w, dict) for w in when)):
            message = f"expected parents with the values that they need, such as {{optimizer: sgd}}, got {_shown(when)}"
            self._problems.append(written.problem(message, "when"))
            return ()
        found = []
        for parent, wanted in _condition_items(when):
            if parent not in parents:
                if parent not in self._written and parent not in self._repeated_names():
                    message = f'there is no parameter "{parent}" to depend on; {nearest(parent, self._written)}'
                    self._problems.append(written.problem(message, "when", parent))
                continue
            try:
                found.append(read_condition(parents[parent], wanted))
            except SpaceError as error:
                self._problems.append(written.problem(str(error), "when", parent))
        return tuple(found)

    def _repeated_names(self) -> set[str]:
        return {f"{name}_{number}" for name in self._written for number in range(1, _MOST_REPEATS + 1)}

    def _choices(self, written: _Written, content: object, keys: tuple[str, ...]) -> tuple[Value, ...]:
        if not isinstance(content, list):
            self._problems.append(written.problem(f"expected a list of choices, got {_shown(content)}", *keys))
            return ()
        if not content:
            self._problems.append(written.problem("expected at least one choice, got none", *keys))
        if len(content) > _MOST_CHOICES:
            message = f"expected at most {_MOST_CHOICES} choices, got {len(content)}: use a range"
            self._problems.append(written.problem(message, *keys))
            return ()
        for index, choice in enumerate(content):
            if isinstance(choice, list | dict):
                message = f"expected a number, a string, true, false or null, got {_shown(choice)}"
                self._problems.append(written.problem(message, *keys, index))
                return ()
        return tuple(content)

    def _plain(self, written: _Written, key: str) -> Value:
        value = written.content.get(key)
        if value is None or isinstance(value, bool | int | float | str):
            return value
        self._problems.append(written.problem(f"expected a single value, got {_shown(value)}", key))
        return None

    def _number(self, written: _Written, key: str) -> Any:
        value = written.content.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value) if abs(value) <= LARGEST or isinstance(value, float) else self._too_large(written, key)
        return self._no_number(written, key, "a number")

    def _whole(self, written: _Written, key: str) -> Any:
        value = written.content.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value if abs(value) <= LARGEST else self._too_large(written, key)
        return self._no_number(written, key, "a whole number")

    def _too_large(self, written: _Written, key: str) -> None:
        self._problems.append(written.problem("expected a number of at most 2**53 in size", key))

    def _no_number(self, written: _Written, key: str, expected: str) -> None:
        if key not in written.content:
            self._problems.append(written.problem(f'"{key}" is missing; add {expected}'))
            return
        value = written.content[key]
        hint = "; remove the quotes" if isinstance(value, str) and _is_number(value) else ""
        self._problems.append(written.problem(f"expected {expected}, got {_shown(value)}{hint}", key))

    # Constraints and points -------------------------------------------------------------------------------

    def _constraint(self, written: _Written, parameters: Mapping[str, Parameter]) -> Constraint | None:
        try:
            constraint = read_constraint(written.content)
        except ConstraintError as error:
            self._problems.append(written.problem(str(error)))
            return None
        for name in sorted(constraint.names - parameters.keys()):
            self._problems.append(written.problem(f'there is no parameter "{name}"; {nearest(name, parameters)}'))
        return constraint

    def _point(self, written: _Written, parameters: Mapping[str, Parameter]) -> dict[str, Value] | None:
        if not isinstance(written.content, dict) or not written.content:
            message = f"expected parameters with values, got {_shown(written.content)}"
            self._problems.append(written.problem(message))
            return None
        for name, value in written.content.items():
            if name not in parameters:
                self._problems.append(
                    written.problem(f'there is no parameter "{name}"; {nearest(name, parameters)}', name)
                )
            elif not parameters[name].contains(value):
                self._problems.append(written.problem(f"expected one of the values of {name}, got {value!r}", name))
        return dict(written.content)


def _at(document: Document, at: KeyPath) -> Any:
    content: Any = document.data
    for key in at:
        content = content.get(key, {}) if isinstance(content, dict) else {}
    return content


def _implied_type(content: Mapping[str, Any]) -> str | None:
    if "choices" in content:
        return "categorical"
    if "value" in content:
        return "fixed"
    return None


def _condition_items(when: object) -> Iterator[tuple[str, Any]]:
    for part in when if isinstance(when, list) else [when]:
        if isinstance(part, dict):
            yield from part.items()


def _as_count(value: object) -> int:
    return value if isinstance(value, int) else -1


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
