"""Parser of the `space` of a study file into a checked `Space`; it reports all problems at once, with their places.

Entries of an extended space that no longer fit the entries that override it are dropped without a note: a parameter
whose condition can no longer hold, a constraint on a dropped parameter, a starting point outside of the new ranges.
Entries of the study file itself must fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search_spaces.conditions import Condition, read_when
from search_spaces.constraint import Constraint, ConstraintError
from search_spaces.errors import Fault, InputError, Problem, suggest_choice
from search_spaces.extends import Entry, Item, SpaceSource, collect_source
from search_spaces.parameters import (
    RESERVED,
    UNSET,
    Categorical,
    Fixed,
    Float,
    Int,
    InvalidSpaceError,
    Parameter,
    is_numeric,
)
from search_spaces.shipped_spaces import read_shipped
from search_spaces.space import MAX_PARAMETERS, Space, find_obstacle
from search_spaces.values import describe, is_number
from search_spaces.yaml_document import Document, KeyPath, make_document

__all__ = ["RESERVED", "parse_space", "parse_space_dict"]

MAX_REPEATS = 100
_RANGE_KEYS = ("type", "low", "high", "log", "step", "default", "when", "repeat")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "float": _RANGE_KEYS,
    "int": _RANGE_KEYS,
    "categorical": ("type", "choices", "default", "when", "repeat"),
    "fixed": ("type", "value", "when", "repeat"),
}
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "float": ("low", "high"),
    "int": ("low", "high"),
    "categorical": ("choices",),
    "fixed": ("value",),
}
# Keys and types as other tools name them, for hints alone.
_OTHER_TOOLS: Mapping[str, str] = {
    **dict.fromkeys(("min", "min_value", "minimum", "lower"), "low"),
    **dict.fromkeys(("max", "max_value", "maximum", "upper"), "high"),
    **dict.fromkeys(("values", "options", "items"), "choices"),
    **dict.fromkeys(("sampling", "scale", "log_scale"), "log: true"),
    **dict.fromkeys(("condition", "conditions", "if", "depends_on"), "when"),
    **dict.fromkeys(("q", "quantization"), "step"),
}
_OTHER_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("bool", "boolean"), "a list, [true, false]"),
    **dict.fromkeys(("choice", "choices", "enum"), "type: categorical"),
    **dict.fromkeys(("loguniform", "log_uniform", "log"), "type: float with log: true"),
    **dict.fromkeys(("uniform", "double", "number", "real"), "type: float"),
    **dict.fromkeys(("integer", "int_uniform", "randint"), "type: int"),
}


def parse_space(
    document: Document, at: KeyPath = ("space",), *, family_space: str | None = None, folder: Path | None = None
) -> Space:
    """Return the space at a key of a document.

    Args:
        document: a study file, or a file that holds a space alone.
        at: path of the space; () for a file that holds a space alone.
        family_space: name of the shipped space that is used where there is none, or an empty one.
        folder: base of the paths behind `extends`; the folder of the document's file where None.

    Raises:
        InputError: with every problem found.
    """
    if not document.get(at):
        # An empty list, 0 or false is a slip, no space that was left out.
        if document.get(at) not in (None, {}):
            raise InputError(document.make_problem(at, f"expected a mapping, got {describe(document.get(at))}"))
        if family_space is None:
            return Space()
        document, at = read_shipped(family_space), ()
    return _Builder(collect_source(document, at, folder or Path(document.file).parent), document, at).build()


def parse_space_dict(written: Mapping[str, Any], *, name: str = "", folder: Path | None = None) -> Space:
    """Return the space that plain data describes, in the form of a study file.

    Args:
        written: parameters by name, and the keys of the space itself.
        name: name of the space in problems, which have dotted paths and no lines.
        folder: base of the paths behind `extends`; the current folder where None.

    Raises:
        InputError: with every problem found.
    """
    document = make_document(written, name)
    return _Builder(collect_source(document, (), folder or Path()), document, ()).build()


@dataclass(frozen=True)
class _ParsedParameter:
    """A parameter and its entry."""

    parameter: Parameter
    entry: Entry


class _Builder:
    """Builder of a space from its source; it collects problems."""

    def __init__(self, written: SpaceSource, document: Document, at: KeyPath) -> None:
        self._written = written
        self._document = document
        self._at = at
        self._problems = list(written.problems)
        self._failed: set[str] = set()

    def build(self) -> Space:
        made = _remove_lapsed(self._make_parameters())
        parameters = tuple(found.parameter for found in self._drop_failed(made).values())
        constraints = self._select_constraints(made)
        points = self._select_points(made, constraints)
        try:
            space = Space(
                parameters, tuple(Constraint(item.content) for item in constraints), tuple(p.content for p in points)
            )
        except InvalidSpaceError as unfit:
            self._problems += [self._place_fault(fault, made, constraints, points) for fault in unfit.faults]
            raise InputError(_sort_problems(self._problems)) from None
        if self._problems:
            raise InputError(_sort_problems(self._problems))
        return space

    # Parameters -----------------------------------------------------------------------------------------------

    def _make_parameters(self) -> dict[str, _ParsedParameter]:
        """Return every valid parameter, repeated ones once per layer."""
        single: dict[str, _ParsedParameter] = {}
        for name, entry in self._written.parameters.items():
            if (parameter := self._make_parameter(name, entry)) is not None:
                single[name] = _ParsedParameter(parameter, entry)
        made: dict[str, _ParsedParameter] = {}
        for name, found in single.items():
            if "repeat" not in found.entry.content:
                self._add(made, found)
            for layer in self._make_layers(name, found, single):
                self._add(made, _ParsedParameter(layer, found.entry))
            # `Space` refuses so many; to make all the others would only take time.
            if len(made) > MAX_PARAMETERS:
                break
        return made

    def _add(self, made: dict[str, _ParsedParameter], found: _ParsedParameter) -> None:
        name = found.parameter.name
        if name in made:
            repeated = found.entry if "repeat" in found.entry.content else made[name].entry
            other = made[name].entry if repeated is found.entry else found.entry
            message = f'"{name}" is already made by `repeat` of "{repeated.path[-1]}"; rename or drop one'
            self._problems.append(other.make_problem(message))
        made[name] = found

    def _make_parameter(self, name: str, entry: Entry) -> Parameter | None:
        problems: list[Problem] = []
        kind = self._read_kind(entry, problems)
        if kind is not None:
            problems += _find_key_problems(entry, kind)
        faults: list[Fault] = []
        when = read_when(entry.content.get("when"), faults)
        problems += [entry.make_problem(fault.message, "when", *fault.keys) for fault in faults]
        parameter = None
        if kind is not None and not any(key not in entry.content for key in _NEEDED[kind]):
            try:
                parameter = _make_fitting(kind, name, entry, when)
            except InvalidSpaceError as unfit:
                problems += [entry.make_problem(fault.message, *fault.keys) for fault in unfit.faults]
        if problems:
            self._problems += problems
            self._failed.add(name)
        return None if problems else parameter

    def _read_kind(self, entry: Entry, problems: list[Problem]) -> str | None:
        written = entry.content.get("type")
        if written is None:
            implied = next((kind for key, kind in _IMPLIED.items() if key in entry.content), None)
            if implied is None:
                ranged = {"low", "high"} & entry.content.keys()
                wanted = "`type: float` or `type: int`" if ranged else f"`type` ({', '.join(_KEYS)}), or `choices`"
                problems.append(entry.make_problem(f"the type is missing; add {wanted}"))
            return implied
        if not isinstance(written, str) or written not in _KEYS:
            meant = _OTHER_TYPES.get(written.lower()) if isinstance(written, str) else None
            hint = f"write {meant}" if meant else suggest_choice(str(written)[:100], _KEYS)
            problems.append(
                entry.make_problem(f"expected one of {', '.join(_KEYS)}, got {describe(written)}; {hint}", "type")
            )
            return None
        return written

    # Repeats --------------------------------------------------------------------------------------------------

    def _make_layers(
        self, name: str, found: _ParsedParameter, single: Mapping[str, _ParsedParameter]
    ) -> list[Parameter]:
        """Return a repeated parameter once per layer, each existing where the parent reaches its number."""
        by = found.entry.content.get("repeat")
        if "repeat" not in found.entry.content:
            return []
        count = self._count_layers(by, found, single)
        if count is None:
            self._failed.add(name)
            return []
        alike = {other for other, made in single.items() if made.entry.content.get("repeat") == by}
        layers = []
        for number in range(1, count + 1):
            when = _make_layer_conditions(found.parameter.when, str(by), number, alike)
            try:
                layers.append(replace(found.parameter, name=f"{name}_{number}", when=when))
            except InvalidSpaceError as unfit:
                self._problems += [found.entry.make_problem(fault.message, *fault.keys) for fault in unfit.faults]
                return []
        return layers

    def _count_layers(self, by: object, found: _ParsedParameter, single: Mapping[str, _ParsedParameter]) -> int | None:
        """Return the greatest number of layers; None if `repeat` names no parameter that counts."""
        entry = found.entry
        parent = single[by].parameter if isinstance(by, str) and by in single else None
        if parent is None or (isinstance(by, str) and "repeat" in single[by].entry.content):
            # Otherwise its problem is reported already, or it lapsed with its parent in an extended space.
            if not (isinstance(by, str) and (by in self._failed or entry.inherited)):
                hint = (
                    suggest_choice(by, set(single) - {str(entry.path[-1])}) if isinstance(by, str) else "write a name"
                )
                message = f"expected an int parameter to repeat by, got {describe(by)}; {hint}"
                self._problems.append(entry.make_problem(message, "repeat"))
            return None
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in parent.bounds):
            message = f"expected an int parameter to repeat by, but {by} is {_describe_parameter(parent)}"
            self._problems.append(entry.make_problem(message, "repeat"))
            return None
        most = max(value for value in parent.bounds if is_number(value))
        if most > MAX_REPEATS:
            message = f"expected at most {MAX_REPEATS} layers, but {by} goes up to {most}; lower its high"
            self._problems.append(entry.make_problem(message, "repeat"))
            return None
        return int(most)

    # Constraints and points -----------------------------------------------------------------------------------

    def _select_constraints(self, made: Mapping[str, _ParsedParameter]) -> list[Item]:
        kept: list[Item] = []
        for item in self._written.constraints:
            try:
                names = Constraint(item.content).names
            except ConstraintError as error:
                self._problems.append(item.make_problem(str(error)))
                continue
            lapsed = item.inherited and not names <= made.keys()
            repeated = any(item.content == other.content for other in kept)
            if not lapsed and not repeated and not any(self._is_failed(name) for name in names):
                kept.append(item)
        return kept

    def _select_points(self, made: Mapping[str, _ParsedParameter], constraints: Iterable[Item]) -> list[Item]:
        rules = [Constraint(item.content) for item in constraints]
        points = []
        for item in self._written.start_from:
            names = item.content.keys() if isinstance(item.content, dict) else ()
            lapsed = item.inherited and not (names and _is_valid_point(item.content, made, rules))
            if not lapsed and not any(self._is_failed(name) for name in names):
                points.append(item)
        return points

    # Problems -------------------------------------------------------------------------------------------------

    def _drop_failed(self, made: Mapping[str, _ParsedParameter]) -> dict[str, _ParsedParameter]:
        """Return the parameters that depend on no invalid one: those would only repeat its problem."""
        sound = dict(made)
        lost = True
        while lost:
            gone = [n for n, f in sound.items() if any(self._is_failed(test.parent) for test in f.parameter.when)]
            for name in gone:
                del sound[name]
                self._failed.add(name)
            lost = bool(gone)
        return sound

    def _is_failed(self, name: str) -> bool:
        # A layer is as invalid as the parameter that is repeated: units_3 for units.
        layered = re.fullmatch(r"(.+)_[0-9]+", name)
        return name in self._failed or (layered is not None and layered[1] in self._failed)

    def _place_fault(
        self, fault: Fault, made: Mapping[str, _ParsedParameter], constraints: list[Item], points: list[Item]
    ) -> Problem:
        for key, items in (("constraints", constraints), ("start_from", points)):
            if fault.keys[:1] == (key,):
                return items[int(fault.keys[1])].make_problem(fault.message, *fault.keys[2:])
        if fault.keys and fault.keys[0] in made:
            return made[str(fault.keys[0])].entry.make_problem(fault.message, *fault.keys[1:])
        return self._document.make_problem(self._at, fault.message)


_IMPLIED: Mapping[str, str] = {"choices": "categorical", "value": "fixed"}


def _find_key_problems(entry: Entry, kind: str) -> list[Problem]:
    problems = []
    for key in entry.content:
        if key not in _KEYS[kind]:
            hint = f'write "{_OTHER_TOOLS[key]}"' if key in _OTHER_TOOLS else suggest_choice(key, _KEYS[kind])
            document, path = entry.places[key]
            problems.append(document.make_key_problem(path, f'unknown key "{key}" for {_add_article(kind)}; {hint}'))
    meant = {_OTHER_TOOLS.get(key) for key in entry.content}
    missing = [key for key in _NEEDED[kind] if key not in entry.content and key not in meant]
    if missing:
        problems.append(
            entry.make_problem(f"{' and '.join(missing)} missing; {_add_article(kind)} needs {_list_needed(kind)}")
        )
    return problems


def _make_fitting(kind: str, name: str, entry: Entry, when: tuple[Condition, ...]) -> Parameter:
    """Return the parameter, without an inherited default that no longer fits.

    Raises:
        InvalidSpaceError: if the entry is invalid.
    """
    try:
        return _construct(kind, name, entry.content, when)
    except InvalidSpaceError as unfit:
        if "default" in entry.kept and all(fault.keys == ("default",) for fault in unfit.faults):
            without = {key: value for key, value in entry.content.items() if key != "default"}
            return _construct(kind, name, without, when)
        raise


def _construct(kind: str, name: str, content: Mapping[str, Any], when: tuple[Condition, ...]) -> Parameter:
    if kind == "fixed":
        return Fixed(name, content["value"], when)
    if kind == "categorical":
        return Categorical(name, content["choices"], content.get("default", UNSET), when)
    make = Float if kind == "float" else Int
    ends = content["low"], content["high"]
    return make(name, *ends, content.get("log", False), content.get("step"), content.get("default"), when)


def _make_layer_conditions(when: tuple[Condition, ...], by: str, number: int, alike: set[str]) -> tuple[Condition, ...]:
    """Return the conditions of one layer; those on parameters repeated alike are on the same layer's."""
    own = tuple(replace(test, parent=f"{test.parent}_{number}") if test.parent in alike else test for test in when)
    least = [test for test in own if test.parent == by and test.operator == ">="]
    # A parameter may have each comparison with a parent once, so two `>=` become one.
    reached = max([number, *(test.operand[0] for test in least if is_number(test.operand[0]))])
    return (*(test for test in own if test not in least), Condition(by, ">=", (reached,)))


def _is_valid_point(
    point: Mapping[str, Any], made: Mapping[str, _ParsedParameter], rules: Iterable[Constraint]
) -> bool:
    """Return whether a point is still valid: each value of an existing parameter, and all constraints satisfied."""
    for name, value in point.items():
        if name not in made or not made[name].parameter.contains(value):
            return False
        when = made[name].parameter.when
        if not all(test.holds(point[test.parent]) for test in when if test.parent in point):
            return False
    return all(rule.holds(point) for rule in rules)


def _remove_lapsed(made: Mapping[str, _ParsedParameter]) -> dict[str, _ParsedParameter]:
    """Remove inherited conditions and parameters that no longer fit: lost values of a parent, lost parents."""
    fitted = dict(made)
    changed = True
    # Until nothing changes: a parameter that goes may be the parent of another.
    while changed:
        changed = False
        parameters = {name: found.parameter for name, found in fitted.items()}
        for name, found in list(fitted.items()):
            if not (found.entry.inherited or "when" in found.entry.kept):
                continue
            when = _restrict_conditions(found.parameter.when, parameters)
            parameter = replace(found.parameter, when=when or ())
            if when is None or find_obstacle(parameter, parameters) is not None:
                if found.entry.inherited:
                    del fitted[name]
                    changed = True
            elif when != found.parameter.when:
                fitted[name] = replace(found, parameter=parameter)
                changed = True
    return fitted


def _restrict_conditions(
    when: Iterable[Condition], parameters: Mapping[str, Parameter]
) -> tuple[Condition, ...] | None:
    """Return conditions without the values that parents never have; None if one of them can no longer hold."""
    possible = []
    for test in when:
        parent = parameters.get(test.parent)
        if parent is None or (test.operator not in ("in", "not in") and not is_numeric(parent)):
            return None
        if test.operator in ("in", "not in"):
            operand = tuple(value for value in test.operand if parent.contains(value))
            if not operand and test.operator == "in":
                return None
            if operand:
                possible.append(replace(test, operand=operand))
        else:
            possible.append(test)
    return tuple(possible)


def _sort_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems in the order of the file, those of other files behind, none of them twice."""
    # Each layer of a repeated parameter reports the same problem.
    unique = list(dict.fromkeys(problems))
    files = list(dict.fromkeys(found.place.file for found in unique if found.place))

    def order(found: Problem) -> tuple[int, ...]:
        place = found.place
        return (files.index(place.file), place.line, place.column) if place else (0,)

    return sorted(unique, key=order)


def _describe_parameter(parameter: Parameter) -> str:
    kind = type(parameter).__name__.lower()
    return _add_article(kind) if not isinstance(parameter, Categorical) else "a categorical whose choices are no ints"


def _add_article(kind: str) -> str:
    return "a fixed value" if kind == "fixed" else f"an {kind}" if kind == "int" else f"a {kind}"


def _list_needed(kind: str) -> str:
    return " and ".join(f"`{key}`" for key in _NEEDED[kind])
