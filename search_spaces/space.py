"""Search space: parameters with their conditions, constraints between them, and initial values.

Only active parameters exist in a trial: those whose conditions hold, and whose parents are active too. Nothing
is padded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces.conditions import Condition
from search_spaces.constraint import Constraint, ConstraintError, Kind
from search_spaces.errors import Fault, suggest_choice
from search_spaces.parameters import (
    UNSET,
    Categorical,
    Fixed,
    Float,
    Int,
    InvalidSpaceError,
    Parameter,
    Unset,
    can_hold,
    describe_range,
    find_value_fault,
    has_default,
    is_numeric,
)
from search_spaces.values import Value, describe, format_value, is_number

__all__ = [
    "UNSET",
    "Categorical",
    "Condition",
    "Constraint",
    "Fixed",
    "Float",
    "Int",
    "InvalidSpaceError",
    "Parameter",
    "Space",
    "Unset",
    "Value",
]

# Chosen: the checks of conditions take a time that grows with the square of the parameters.
MAX_PARAMETERS = 500
MAX_CONSTRAINTS = 200
# Chosen: nobody corrects more in one go.
_MAX_FAULTS = 50


@dataclass(frozen=True)
class Space:
    """A checked search space.

    Attributes:
        declared: the parameters, sorted so that parents come before their children.
        constraints: conditions on the values of a trial.
        start_from: points to try first; a parameter that a point leaves out has its default or is drawn.
    """

    declared: tuple[Parameter, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    start_from: tuple[Mapping[str, Value], ...] = ()

    def __post_init__(self) -> None:
        # The other checks find parameters by name, so the names come first.
        faults = _find_size_faults(self) or _find_name_faults(self.declared)
        if not faults:
            faults = [*_find_condition_faults(self.declared), *_find_constraint_faults(self), *_find_point_faults(self)]
        if faults:
            raise InvalidSpaceError((), faults)
        object.__setattr__(self, "declared", _sort_parents_first(self.declared))
        self.__dict__.pop("parameters", None)  # cached by the checks, in the order before the sort

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """The parameters by name; parents stand before their children."""
        return {parameter.name: parameter for parameter in self.declared}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all parameters."""
        return tuple(self.parameters)

    def is_active(self, parameter: Parameter, values: Mapping[str, Value]) -> bool:
        """Return whether a parameter is active, given the values of the active ones before it."""
        return all(test.parent in values and test.holds(values[test.parent]) for test in parameter.when)

    def find_active(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the names of the parameters that exist in a trial with these values."""
        known: dict[str, Value] = {}
        names = []
        for name, parameter in self.parameters.items():
            if self.is_active(parameter, known):
                names.append(name)
                if isinstance(parameter, Fixed):
                    known[name] = parameter.value
                # Without a value its children stay inactive.
                elif name in values:
                    known[name] = values[name]
        return tuple(names)

    def find_violations(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """Return the constraints that a trial's active values break."""
        return tuple(constraint.text for constraint in self.constraints if not constraint.holds(values))

    def make_defaults(self) -> dict[str, Value]:
        """Return the defaults of the parameters that are then active, fixed values included; empty without any default.

        A parameter without a default is left out, and so are its children.
        """
        if not any(has_default(parameter) for parameter in self.declared):
            return {}
        return self.complete_point({})

    def list_points(self) -> tuple[dict[str, Value], ...]:
        """Return the points to try first: the defaults, then `start_from`; without those that break a constraint."""
        defaults = self.make_defaults()
        first = [defaults] if defaults and not self.find_violations(defaults) else []
        return (*first, *(point for point in self.list_start_points() if point not in first))

    def list_start_points(self) -> tuple[dict[str, Value], ...]:
        """Return the points of `start_from`, completed; without those that break a constraint with their defaults."""
        points = map(self.complete_point, self.start_from)
        return tuple(point for point in points if not self.find_violations(point))

    def to_dict(self) -> dict[str, Any]:
        """Return the space in full as plain data, from which `parse_space_dict` makes an equal space."""
        written: dict[str, Any] = {name: parameter.to_dict() for name, parameter in self.parameters.items()}
        if self.constraints:
            written["constraints"] = [constraint.text for constraint in self.constraints]
        if self.start_from:
            written["start_from"] = [dict(point) for point in self.start_from]
        return written

    def complete_point(self, point: Mapping[str, Value]) -> dict[str, Value]:
        """Return a point with the defaults of what it leaves out, without what does not exist there.

        A value that exists only with some values of a parent that is still to be drawn stays, for those.
        """
        values: dict[str, Value] = {}
        undecided: set[str] = set()  # parameters whose children may exist or not
        for name, parameter in self.parameters.items():
            tests = parameter.when
            if not all(t.holds(values[t.parent]) if t.parent in values else t.parent in undecided for t in tests):
                continue
            is_sure = not any(test.parent in undecided for test in tests)
            if name in point:
                values[name] = point[name]
            elif is_sure and (isinstance(parameter, Fixed) or has_default(parameter)):
                assert not isinstance(parameter.default, Unset)
                values[name] = parameter.default
            if not is_sure or name not in values:
                undecided.add(name)
        return values


def find_obstacle(parameter: Parameter, parameters: Mapping[str, Parameter]) -> Condition | None:
    """Return a condition that prevents a parameter from ever being active; None if it can be.

    All conditions of all its ancestors must hold together; constraints are ignored. A condition that only an ancestor
    has on a parameter is left to the check of that ancestor.
    """
    tests: dict[str, list[Condition]] = {}
    waiting = [parameter]
    seen = {parameter.name}
    while waiting:
        for test in waiting.pop().when:
            if test not in tests.setdefault(test.parent, []):
                tests[test.parent].append(test)
            if test.parent in parameters and test.parent not in seen:
                seen.add(test.parent)
                waiting.append(parameters[test.parent])
    own = {test.parent for test in parameter.when}
    for parent, needed in tests.items():
        if parent not in parameters:
            return needed[0]
        if (parent in own or len(needed) > 1) and not can_hold(parameters[parent], needed):
            return needed[0]
    return None


def _find_size_faults(space: Space) -> list[Fault]:
    if len(space.declared) > MAX_PARAMETERS:
        return [Fault((), f"expected at most {MAX_PARAMETERS} parameters, layers counted one by one; got more")]
    if len(space.constraints) > MAX_CONSTRAINTS:
        return [Fault((), f"expected at most {MAX_CONSTRAINTS} constraints, got {len(space.constraints)}")]
    return []


def _find_name_faults(declared: tuple[Parameter, ...]) -> list[Fault]:
    times = Counter(parameter.name for parameter in declared)
    message = "two parameters have this name; rename or drop one"
    return [Fault((name,), message) for name, count in times.items() if count > 1]


def _find_condition_faults(declared: tuple[Parameter, ...]) -> list[Fault]:
    if faults := _find_parent_faults(declared):
        return faults
    ordered = _sort_parents_first(declared)
    return (
        [_make_cycle_fault(declared, ordered)] if len(ordered) < len(declared) else _find_unreachable_faults(declared)
    )


def _find_parent_faults(declared: tuple[Parameter, ...]) -> list[Fault]:
    by_name = {parameter.name: parameter for parameter in declared}
    faults = []
    for parameter in declared:
        for test in parameter.when:
            keys = (parameter.name, "when", test.parent)
            if test.parent not in by_name:
                layered = f"{test.parent}_1" in by_name
                hint = (
                    f'"{test.parent}_1" is the first of its layers' if layered else suggest_choice(test.parent, by_name)
                )
                faults.append(Fault(keys, f'there is no parameter "{test.parent}" to depend on; {hint}'))
            elif fault := _find_test_fault(by_name[test.parent], test):
                faults.append(Fault(keys, fault))
        if len(faults) > _MAX_FAULTS:
            break
    return faults


def _find_test_fault(parent: Parameter, test: Condition) -> str | None:
    """Return the fault of a test on its parent: a value that it never has, or text compared by size."""
    if test.operator in ("in", "not in"):
        for value in test.operand:
            if not parent.contains(value):
                return f"can never hold: {_describe_mismatch(parent, value)}"
        return None
    if not is_numeric(parent):
        listed = ", ".join(format_value(value) for value in parent.bounds)
        return f"`{test.operator}` compares numbers, and the values of {parent.name} are: {listed}"
    return None


def _describe_mismatch(parent: Parameter, value: Value) -> str:
    trap = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(str(value).lower())
    if trap and any(isinstance(bound, bool) for bound in parent.bounds):
        return f"{parent.name} is never {describe(value)}; write {trap}"
    if isinstance(parent, (Int, Float)) and is_number(value):
        return f"{parent.name} is never {format_value(value)}, it goes {describe_range(parent)}"
    return f"{parent.name} is never {describe(value)}; {suggest_choice(str(value), map(format_value, parent.bounds))}"


def _sort_parents_first(declared: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """Return the parameters in the order given, children moved behind their parents; those in a cycle are left out."""
    waiting = list(declared)
    ordered: list[Parameter] = []
    placed: set[str] = set()
    while waiting:
        later = []
        for parameter in waiting:
            if all(test.parent in placed for test in parameter.when):
                ordered.append(parameter)
                placed.add(parameter.name)
            else:
                later.append(parameter)
        if len(later) == len(waiting):
            break
        waiting = later
    return tuple(ordered)


def _make_cycle_fault(declared: tuple[Parameter, ...], ordered: tuple[Parameter, ...]) -> Fault:
    by_name = {parameter.name: parameter for parameter in declared}
    placed = {parameter.name for parameter in ordered}
    name = next(parameter.name for parameter in declared if parameter.name not in placed)
    way = [name]
    while True:
        # A parameter that is not placed has a parent that is not, so the way meets itself.
        name = next(test.parent for test in by_name[name].when if test.parent not in placed)
        if name in way:
            cycle = [*way[way.index(name) :], name]
            message = f"the conditions go in a circle: {' needs '.join(cycle)}; remove one of them"
            return Fault((cycle[0], "when", cycle[1]), message)
        way.append(name)


def _find_unreachable_faults(declared: tuple[Parameter, ...]) -> list[Fault]:
    by_name = {parameter.name: parameter for parameter in declared}
    faults = []
    for parameter in declared:
        if (test := find_obstacle(parameter, by_name)) is not None:
            own = test if test in parameter.when else parameter.when[0]
            message = f"can never be active: its conditions and those of its parents cannot all hold ({test})"
            faults.append(Fault((parameter.name, "when", own.parent), message))
    return faults


def _find_constraint_faults(space: Space) -> list[Fault]:
    kinds = {name: _find_kind(parameter) for name, parameter in space.parameters.items()}
    faults = []
    for index, constraint in enumerate(space.constraints):
        try:
            constraint.check(kinds)
        except ConstraintError as error:
            faults.append(Fault(("constraints", index), str(error)))
        if len(faults) > _MAX_FAULTS:
            break
    return faults


def _find_kind(parameter: Parameter) -> Kind:
    if is_numeric(parameter):
        return "number"
    return "truth" if all(isinstance(value, bool) for value in parameter.bounds) else "other"


def _find_point_faults(space: Space) -> list[Fault]:
    faults: list[Fault] = []
    for index, point in enumerate(space.start_from):
        if not isinstance(point, Mapping) or not point:
            message = f"expected a mapping of parameters to values, got {describe(point)}"
            faults.append(Fault(("start_from", index), message))
        else:
            faults += [
                Fault(("start_from", index, *fault.keys), fault.message)
                for fault in _find_faults_of_point(space, point)
            ]
        if len(faults) > _MAX_FAULTS:
            break
    return faults


def _find_faults_of_point(space: Space, point: Mapping[str, Value]) -> list[Fault]:
    faults = []
    for name, value in point.items():
        parameter = space.parameters.get(name)
        if parameter is None:
            faults.append(Fault((name,), f'there is no parameter "{name}"; {suggest_choice(name, space.parameters)}'))
        elif message := find_value_fault(parameter, value):
            faults.append(Fault((name,), message))
        else:
            broken = (test for test in parameter.when if test.parent in point and not test.holds(point[test.parent]))
            if test := next(broken, None):
                faults.append(Fault((name,), f"does not exist here: it needs {test}; remove it from the point"))
    if not faults and (broken_rules := space.find_violations(point)):
        faults.append(Fault((), f"the point breaks the constraint {broken_rules[0]}"))
    return faults
