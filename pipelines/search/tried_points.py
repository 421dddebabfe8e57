"""Tree of the points that a study's trials have, so that no point of a finite space is tried twice.

Each node is a parameter at its place in the order in which trials draw, and its branches are the values drawn there.
The tree needs to know no space in advance: conditions, of the space or of a model's code, show in what trials with
these values draw next. A real number ends a path, since it has no equal.

A trial whose model requests its values one by one has a place in the tree that moves with each value. What lies below
that place is unknown until then, so it counts as a single point, which that trial takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from search_spaces.distribution_values import list_values

ListValues = Callable[[str, BaseDistribution], Sequence[Any] | None]

# Chosen: after so many taken proposals in a row the sampler has no other preference.
_PROPOSALS = 10


@dataclass
class _Node:
    """A place in the order of draws.

    Attributes:
        name: the parameter that is drawn here; empty while no trial has drawn one.
        size: number of its values; infinite for a real number.
        open: trials that are here and may draw more.
        is_leaf: a trial drew nothing more from here.
        is_done: every point from here on was tried; set once it is known.
    """

    name: str = ""
    size: float = 0
    branches: dict[int, _Node] = field(default_factory=dict)
    open: int = 0
    is_leaf: bool = False
    is_done: bool = False


@dataclass
class _Place:
    """A trial's node, and the number of values that it has drawn."""

    node: _Node
    drawn: int = 0


class TriedPoints:
    """The points that trials have or are about to have.

    Args:
        list_values: the values that a parameter may take; None where they cannot be counted.
    """

    def __init__(self, list_values: ListValues = list_values) -> None:
        self._list_values = list_values
        self._root = _Node()
        # None: the trial has a real number, or draws in an order of its own; nothing equals it.
        self._places: dict[int, _Place | None] = {}

    @classmethod
    def collect(cls, trials: Iterable[FrozenTrial], list_values: ListValues = list_values) -> TriedPoints:
        """Return the points of trials that have started or ended."""
        tried = cls(list_values)
        for trial in trials:
            if trial.state.is_finished():
                tried.end(trial)
            elif trial.state == TrialState.RUNNING:
                tried.update(trial)
        return tried

    @property
    def is_exhausted(self) -> bool:
        """Whether every point was tried or is being tried."""
        return _is_done(self._root)

    @property
    def has_room(self) -> bool:
        """Whether a further trial is certain to find a point that no other trial has or may come to have."""
        return _count_free(self._root, 1) > 0

    def update(self, trial: FrozenTrial) -> None:
        """Add what a trial has drawn since the last call."""
        self._move(trial)

    def close(self, trial: FrozenTrial) -> None:
        """Add a trial that draws no more values."""
        place = self._move(trial)
        self._places[trial.number] = None
        if place is not None:
            place.node.open -= 1
            place.node.is_leaf = True

    def end(self, trial: FrozenTrial) -> None:
        """Add a trial that has ended, or remove it if it shows nothing.

        Without values a failed trial shows nothing: its code may have failed before it requested any.
        """
        if trial.params or trial.state != TrialState.FAIL:
            self.close(trial)
        elif (place := self._places.pop(trial.number, None)) is not None:
            place.node.open -= 1

    def clear(self) -> None:
        """Remove all points; trials at work are added again with the next value that they draw."""
        self._root = _Node()
        self._places.clear()

    def choose(self, trial: FrozenTrial, name: str, distribution: BaseDistribution, propose: Callable[[], Any]) -> Any:
        """Return a value for a trial's next parameter that leads to a point that is not taken.

        That is the first of a few proposals, or else the value nearest to the last one. Where every value is taken, as
        after values that were given, it is the last proposal.
        """
        place, values = self._move(trial), self._list_values(name, distribution)
        if place is None or values is None or place.node.name not in ("", name):
            return propose()
        for _ in range(_PROPOSALS):
            value = propose()
            index = _find_index(values, value)
            if index is None or _is_free(place.node, index):
                return value
        nearest = next((step for step in _list_near(index or 0, len(values)) if _is_free(place.node, step)), None)
        return value if nearest is None else values[nearest]

    def _move(self, trial: FrozenTrial) -> _Place | None:
        """Move a trial to the end of what it has drawn, and return its place."""
        if trial.number not in self._places:
            self._root.open += 1
            self._places[trial.number] = _Place(self._root)
        place = self._places[trial.number]
        for name in list(trial.params)[place.drawn if place else 0 :]:
            if place is None:
                break
            place = self._descend(place, name, trial.params[name], trial.distributions)
            self._places[trial.number] = place
        return place

    def _descend(
        self, place: _Place, name: str, value: Any, distributions: Mapping[str, BaseDistribution]
    ) -> _Place | None:
        node, values = place.node, self._list_values(name, distributions[name])
        node.open -= 1
        if node.name not in ("", name):
            return None
        index = None if values is None else _find_index(values, value)
        # Known at once: other trials need not wait to see that there is room here.
        node.name, node.size = name, math.inf if values is None else len(values)
        if index is None:
            return None
        branch = node.branches.setdefault(index, _Node())
        branch.open += 1
        return _Place(branch, place.drawn + 1)


def _find_index(values: Sequence[Any], value: Any) -> int | None:
    try:
        return values.index(value)
    except ValueError:
        return None


def _list_near(index: int, count: int) -> Iterator[int]:
    """Yield the other indexes below `count`, the nearest first."""
    for distance in range(1, count):
        yield from (each for each in (index + distance, index - distance) if 0 <= each < count)


def _is_free(node: _Node, index: int) -> bool:
    branch = node.branches.get(index)
    return branch is None or _count_free(branch, 1) > 0


def _count_free(node: _Node, most: int) -> int:
    """Return how many points from here on are certain to be free, at most so many."""
    if node.is_done:
        return 0
    if not node.name:
        return 0 if node.is_leaf or node.open else 1
    wanted = most + node.open
    found = min(wanted, node.size - len(node.branches))
    for branch in node.branches.values():
        if found >= wanted:
            break
        found += _count_free(branch, int(wanted - found))
    return max(0, int(found) - node.open)


def _is_done(node: _Node) -> bool:
    if not node.is_done:
        all_met = len(node.branches) == node.size and all(map(_is_done, node.branches.values()))
        node.is_done = all_met if node.name else node.is_leaf and not node.open
    return node.is_done
