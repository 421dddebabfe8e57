"""Separation of parameters that share a name: other tools allow it under different conditions, kerastudy does not.

Parameters that differ only in the values of one parent become one parameter; others get separate names. The
conditions of their children follow, and conditions that another condition already implies are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from search_spaces.conditions import Condition
from search_spaces.parameters import Parameter
from search_spaces.yaml_document import KeyPath

# Chosen: each parameter is compared with all others of its name.
_MOST_ALIKE = 100
_Note = Callable[[KeyPath, str], None]


@dataclass(frozen=True)
class DeclaredParameter:
    """A parameter and its place in the file; its conditions are lists of values, one for each parent."""

    parameter: Parameter
    path: KeyPath

    @property
    def name(self) -> str:
        """The parameter's name."""
        return self.parameter.name


def separate_names(declared: Iterable[DeclaredParameter], note: _Note) -> list[DeclaredParameter]:
    """Return the parameters, each under a different name."""
    variants: dict[str, list[DeclaredParameter]] = {}
    for found in declared:
        _add(variants.setdefault(found.name, []), found, note)
    renamed = _rename_variants(variants, note)
    by_name = {new.name: new for alike in renamed.values() for _, new in alike}
    return [_prune_conditions(_redirect_parents(new, renamed), by_name) for new in by_name.values()]


def _add(alike: list[DeclaredParameter], found: DeclaredParameter, note: _Note) -> None:
    for index, known in enumerate(alike):
        joined = _join_conditions(known.parameter.when, found.parameter.when)
        if joined is not None and replace(known.parameter, when=()) == replace(found.parameter, when=()):
            alike[index] = replace(known, parameter=replace(known.parameter, when=joined))
            return
        if joined is not None and joined == known.parameter.when:
            note(found.path, f'"{found.name}" stands here twice under the same conditions: the first is taken')
            return
    if len(alike) < _MOST_ALIKE:
        alike.append(found)
    else:
        note(found.path, f'"{found.name}" stands for more than {_MOST_ALIKE} parameters: this one is left out')


def _join_conditions(one: tuple[Condition, ...], other: tuple[Condition, ...]) -> tuple[Condition, ...] | None:
    """Return conditions that hold where either holds; None where no list of conditions expresses that."""
    mine, theirs = ({test.parent: test.operand for test in tests} for tests in (one, other))
    if mine.keys() != theirs.keys():
        return None
    differing = [parent for parent in mine if mine[parent] != theirs[parent]]
    # Lists of values for two parents would also allow mixtures of the two alternatives.
    if len(differing) > 1:
        return None
    joined = {parent: tuple(dict.fromkeys((*mine[parent], *theirs[parent]))) for parent in mine}
    return tuple(Condition(parent, "in", operand) for parent, operand in joined.items())


def _rename_variants(
    variants: dict[str, list[DeclaredParameter]], note: _Note
) -> dict[str, list[tuple[DeclaredParameter, DeclaredParameter]]]:
    """Return for each name its parameters: each under the old name and under the new one."""
    taken = set(variants)
    renamed: dict[str, list[tuple[DeclaredParameter, DeclaredParameter]]] = {}
    for name, alike in variants.items():
        renamed[name] = [(alike[0], alike[0])]
        for found in alike[1:]:
            # One of these numbers is free: there is one more of them than names.
            number = next(number for number in range(2, len(taken) + 3) if f"{name}_{number}" not in taken)
            new = f"{name}_{number}"
            taken.add(new)
            note(found.path, f'"{name}" stands for several parameters, which has no equivalent: this one is "{new}"')
            renamed[name].append((found, replace(found, parameter=replace(found.parameter, name=new))))
    return renamed


def _redirect_parents(
    found: DeclaredParameter, renamed: dict[str, list[tuple[DeclaredParameter, DeclaredParameter]]]
) -> DeclaredParameter:
    """Return a parameter whose conditions name that parent, of several, which exists wherever the parameter does."""
    when = tuple(replace(test, parent=_find_parent(test, found, renamed)) for test in found.parameter.when)
    return replace(found, parameter=replace(found.parameter, when=when))


def _find_parent(
    test: Condition, found: DeclaredParameter, renamed: dict[str, list[tuple[DeclaredParameter, DeclaredParameter]]]
) -> str:
    own = {each.parent: set(each.operand) for each in found.parameter.when}
    for before, after in renamed.get(test.parent, []):
        if all(own.get(each.parent, set()) & set(each.operand) for each in before.parameter.when):
            return after.name
    return test.parent


def _prune_conditions(found: DeclaredParameter, by_name: dict[str, DeclaredParameter]) -> DeclaredParameter:
    """Return a parameter without the conditions that its other parents have already."""
    when = found.parameter.when
    implied = {
        own
        for test in when
        if test.parent in by_name and test.parent != found.name
        for own in by_name[test.parent].parameter.when
    }
    return replace(found, parameter=replace(found.parameter, when=tuple(test for test in when if test not in implied)))
