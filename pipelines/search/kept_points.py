"""Points that keep the constraints of a space, where the proposals of a sampler break them.

Constraints may leave one point of a million. Each proposal costs a trial in Optuna, so after a few of them a point is
looked for here: among all of them where they can be counted, else among many random ones, and then on a coarse grid.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from random import Random
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from pipelines.search.gp.encoding import PointEncoding
from pipelines.search.gp.space_rules import SpaceRules
from pipelines.search.seeds import mix_seed
from search_spaces.parameters import Fixed
from search_spaces.space import Space
from search_spaces.suggest import (
    INDEX,
    ConstraintViolation,
    count_points,
    generate_points,
    make_distributions,
    make_optuna_point,
    suggest,
)

# Chosen: the draws that a sampler proposes, which does not see those that were rejected; and all draws for one trial,
# since first points that break a constraint may be waiting.
_PROPOSALS, _REDRAWS = 20, 200
# Chosen: a hundred thousand random points take a few seconds.
_BATCHES, _BATCH = 100, 1000
# Chosen: a first point that no such draw completes is left as it is.
_COMPLETIONS = 10


class KeptPoints:
    """Points of a space that keep its constraints, in Optuna's names and values.

    Args:
        space: the space that a trial starts with.
        seed: of the study.
        repeats: whether a point may be tried again, because code requests further values.

    Attributes:
        is_exhausted: whether `find` has seen that every point was tried.
    """

    def __init__(self, space: Space, seed: int, *, repeats: bool) -> None:
        self._space, self._seed, self._repeats = space, seed, repeats
        self.is_exhausted = False

    def enqueue(self, study: optuna.Study, *, rejected: int) -> bool:
        """Return whether a further point is due after so many rejected ones; from some on, enqueue one."""
        if rejected < _PROPOSALS:
            return True
        trials = study.get_trials(deepcopy=False)
        point = self.find(trials, len(trials)) if rejected < _REDRAWS else None
        if point is not None:
            study.enqueue_trial(point)
        return point is not None

    def find(self, trials: Iterable[FrozenTrial], number: int) -> dict[str, Any] | None:
        """Return a point for trial `number` that none of `trials` has; None where none was found."""
        is_counted = self._is_counted and not self._repeats
        if not is_counted and ((drawn := self._draw(number, {}, _BATCHES)) is not None or self._repeats):
            return drawn
        both = ((trial.params, trial.system_attrs.get("fixed_params", {})) for trial in trials)
        tried = {make_text(point) for points in both for point in points}
        points = [make_optuna_point(self._space, each) for each in generate_points(self._space, every=is_counted)]
        untried = [point for point in points if make_text(point) not in tried]
        self.is_exhausted = is_counted and bool(points) and not untried
        return Random(mix_seed(self._seed, number)).choice(untried) if untried else None

    def complete(self, point: Mapping[str, Any], place: int) -> dict[str, Any]:
        """Return a known point with random values of what it leaves open, where constraints name that."""
        given = {name.removesuffix(INDEX) for name in point}
        left = {each.name for each in self._space.declared if not isinstance(each, Fixed)} - given
        if all(left.isdisjoint(constraint.names) for constraint in self._space.constraints):
            return dict(point)
        return {**(self._draw(place, point, _COMPLETIONS) or {}), **point}

    def keeps(self, point: Mapping[str, Any]) -> bool:
        """Return whether a point keeps the constraints, as far as it has what they name."""
        return self._check(point) is not False

    def is_complete(self, point: Mapping[str, Any]) -> bool:
        """Return whether a point leaves no parameter of the space to be drawn."""
        return self._check(point) is not None

    def _check(self, point: Mapping[str, Any]) -> bool | None:
        """Return whether a point keeps the constraints; None where some of it is still to be drawn."""
        try:
            suggest(self._space, optuna.trial.FixedTrial(dict(point)))
        except ConstraintViolation:
            return False
        except ValueError:
            return None
        return True

    @cached_property
    def _is_counted(self) -> bool:
        return count_points(self._space) is not None

    def _draw(self, place: int, given: Mapping[str, Any], batches: int) -> dict[str, Any] | None:
        """Return a random point with some values given; None where all of many draws break the constraints."""
        drawn_from = make_distributions(self._space)
        encoding = PointEncoding({name: each for name, each in drawn_from.items() if not each.single()})
        if not encoding.axes:
            return None
        rules, random = SpaceRules(self._space, encoding), np.random.default_rng((self._seed, place))
        columns = {at: axis.encode(given[axis.name]) for at, axis in enumerate(encoding.axes) if axis.name in given}
        for _ in range(batches):
            drawn = encoding.snap(random.random((_BATCH, len(encoding.axes))))
            for at, coordinate in columns.items():
                drawn[:, at] = coordinate
            points = rules.restrict(drawn)
            kept = np.flatnonzero(~np.isnan(points).all(axis=1))
            if len(kept):
                return encoding.decode(points[kept[0]])
        return None


def make_text(point: object) -> str:
    """Return a point in Optuna as a text that equal points share."""
    return json.dumps(point, sort_keys=True)
