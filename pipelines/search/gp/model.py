"""Model of a study's scores over the points of its space, learned from its trials."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.special import log_ndtr
from threadpoolctl import ThreadpoolController

from pipelines.search.gp.acquisition import compute_log_improvement, find_best_point
from pipelines.search.gp.earlier import add_earlier_trials
from pipelines.search.gp.encoding import PointEncoding, Points
from pipelines.search.gp.gaussian_process import GaussianProcess
from pipelines.search.gp.observations import Observations, read_observations, warp
from pipelines.search.gp.settings import GpSettings
from pipelines.search.gp.space_rules import SpaceRules
from pipelines.search.gp.training_costs import TrainingCosts

Array = NDArray[np.float64]

# Chosen: the best points that candidates are drawn around.
_NEAR = 5
# Chosen: all scores choose the hyperparameters while they are fewer. With more they change little, and choosing them
# again with every score takes most of a proposal's time. The last scores may still change places with trials at work.
_MOST_ANEW, _LAST = 64, 4
# ParEGO's rho: how much the sum of the objectives counts beside the worst of them.
_SUM_WEIGHT = 0.05


class PointModel:
    """A Gaussian process over (point, logarithm of the epochs), and what follows from it for the next trial.

    Args:
        encoding: of the points.
        rules: of the space.
        seen: scores to learn.
        constraints: values of each constraint at complete trials, at most 0 where it is kept.
        random: draws candidates.
        costs: see `GpSettings`.
    """

    def __init__(
        self,
        encoding: PointEncoding,
        rules: SpaceRules,
        seen: Observations,
        constraints: Sequence[tuple[Points, Array]],
        random: np.random.Generator,
        costs: TrainingCosts | None = None,
    ) -> None:
        self._encoding, self._rules, self._random, self._costs = encoding, rules, random, costs
        self._seen = seen
        extra = seen.has_curves + bool(seen.is_earlier.any())
        self._process = GaussianProcess(np.append(encoding.groups, len(encoding.axes) + np.arange(extra)))
        self._warped = warp(seen.scores)
        columns = self._to_columns(seen.points, seen.progress, seen.is_earlier)
        # With curves or an earlier study further scores stand between those before.
        first = len(self._warped) if extra else _count_fitted(len(self._warped))
        self._process.choose(columns[:first], warp(seen.scores[:first]))
        self._process.learn(columns, self._warped)
        kept = self._warped[~seen.is_earlier & ~seen.breaks]
        # None: every trial breaks a bound, and none is to be improved on.
        self._best = float(kept.max()) if len(kept) else None
        self._constraints = [_learn_constraint(encoding, points, values) for points, values in constraints]
        if len(seen.pending):
            self._believe(columns)

    def rate(self, points: Points) -> Array:
        """Return the logarithm of the expected improvement of each row by its last epoch, in the model's unit.

        It counts with the probability that the bounds are kept; while no trial keeps them, that probability is all that
        counts: Gelbart, Snoek and Adams, Bayesian Optimization with Unknown Constraints (2014), section 3.
        """
        columns, found = self._encoding.to_columns(points), np.zeros(len(points))
        if self._best is not None:
            found = compute_log_improvement(*self._process.predict(self._to_columns(points)), self._best)
        for process in self._constraints:
            mean, deviation = process.predict(columns)
            found = found + log_ndtr(-mean / deviation)
        return found

    def propose(self) -> tuple[Points, float]:
        """Return the row of the best point found for a new trial, and what `rate` gives it.

        With costs, the best is what improves most for its cost: Snoek, Larochelle and Adams, Practical Bayesian
        Optimization of Machine Learning Algorithms (2012), section 3.2.
        """
        order = np.argsort(-self._warped, kind="stable")
        near = list({_make_key(self._seen.points[index]): int(index) for index in reversed(order)}.values())
        best = self._seen.points[sorted(near, key=lambda index: -self._warped[index])[:_NEAR]]
        find = partial(find_best_point, restrict=self._rules.restrict, near=best, random=self._random)
        if (costs := self._costs) is None:
            return find(self._encoding, self.rate)
        row, _ = find(self._encoding, lambda points: self.rate(points) - costs.predict(self._encoding, points))
        return row, float(self.rate(row[None])[0])

    @property
    def has_best(self) -> bool:
        """Whether a trial keeps the bounds, so that there is something to improve on."""
        return self._best is not None

    @cached_property
    def unit(self) -> float:
        """The model's unit in that of the scores, for scores above the median."""
        order = np.argsort(self._warped)
        high, low = order[-1], order[len(order) // 2]
        rise = float(self._warped[high] - self._warped[low])
        return float(self._seen.scores[high] - self._seen.scores[low]) / rise if rise else 0.0

    def _believe(self, columns: Array) -> None:
        """Learn trials at work as if they ended at the mean of the model."""
        pending = self._to_columns(self._seen.pending)
        believed, _ = self._process.predict(pending)
        self._process.learn(np.vstack([columns, pending]), np.concatenate([self._warped, believed]))
        if self._best is not None:
            self._best = max(self._best, float(believed.max()))

    def _to_columns(
        self, points: Points, progress: Array | float = 1.0, is_earlier: NDArray[np.bool_] | bool = False
    ) -> Array:
        """Return the model's columns of rows after some progress, in this study or in the earlier one."""
        columns = [self._encoding.to_columns(points)]
        for is_used, value in ((self._seen.has_curves, progress), (self._seen.is_earlier.any(), is_earlier)):
            if is_used:
                columns.append(np.broadcast_to(np.asarray(value, dtype=float), len(points))[:, None])
        return np.concatenate(columns, axis=1)


def learn_points(
    settings: GpSettings,
    encoding: PointEncoding,
    directions: Sequence[StudyDirection],
    trials: Sequence[FrozenTrial],
    number: int,
) -> PointModel | None:
    """Return the model for the proposal of trial `number`; None while too few of `trials` have a score.

    Args:
        settings: of the search.
        encoding: of the points.
        directions: of the objectives.
        trials: of the study, without that one; paused ones as pruned.
        number: decides, with the seed, the random numbers of the model.
    """
    random = np.random.default_rng((settings.seed, number))
    is_single = len(directions) == 1
    seen = read_observations(
        trials,
        encoding,
        _compute_finals(directions, trials, random),
        sign=_find_sign(directions[0]) if is_single else 0.0,
        epochs=settings.epochs,
    )
    started = len({_make_key(point) for point in seen.points})
    # A score of this study shows how far those of the earlier one hold.
    if started < (1 if settings.earlier.trials else max(2, settings.startup_trials)):
        return None
    if is_single:
        seen = add_earlier_trials(
            seen,
            settings.earlier.trials,
            settings.space,
            encoding,
            sign=_find_sign(directions[0]),
            epochs=settings.epochs,
        )
    if len(seen.scores) < 2:
        return None
    rules, constraints = SpaceRules(settings.space, encoding), _read_constraints(trials, encoding)
    return PointModel(encoding, rules, seen, constraints, random, settings.costs)


def _count_fitted(scores: int) -> int:
    """Return the number of the first scores that choose the hyperparameters: the same for a sixteenth of them."""
    if scores < _MOST_ANEW:
        return scores
    step = 1 << (scores.bit_length() - 5)
    return (scores - _LAST) // step * step


def limit_threads() -> AbstractContextManager[Any]:
    """Return a context with one thread for linear algebra.

    Matrices of a few hundred rows gain nothing from threads, and the workers need the cores.
    """
    limited: AbstractContextManager[Any] = _find_thread_pools().limit(limits=1, user_api="blas")
    return limited


@cache
def _find_thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


def _make_key(point: Points) -> bytes:
    """Return a row as a key, in which NaN equals NaN and 0 equals -0."""
    return np.ascontiguousarray(point + 0.0).tobytes()


def _find_sign(direction: StudyDirection) -> float:
    return 1.0 if direction == StudyDirection.MAXIMIZE else -1.0


def _compute_finals(
    directions: Sequence[StudyDirection], trials: Sequence[FrozenTrial], random: np.random.Generator
) -> dict[int, float]:
    """Return a score of each complete trial, more being better; of several objectives one random weighting."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        return {}
    costs = np.array([[-_find_sign(each) for each in directions]]) * np.array([trial.values for trial in complete])
    if len(directions) == 1:
        scores = -costs[:, 0]
    else:
        span = np.ptp(costs, axis=0)
        shares = (costs - costs.min(0)) / np.where(span > 0, span, 1.0)
        weighted = shares * random.dirichlet(np.ones(len(directions)))
        scores = -(weighted.max(1) + _SUM_WEIGHT * weighted.sum(1))
    return {trial.number: float(score) for trial, score in zip(complete, scores, strict=True)}


def _read_constraints(trials: Sequence[FrozenTrial], encoding: PointEncoding) -> list[tuple[Points, Array]]:
    values: dict[str, list[tuple[Points, float]]] = {}
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            for name, value in trial.constraints.items():
                values.setdefault(name, []).append((encoding.encode(trial.params, trial.distributions), value))
    return [(np.array([row for row, _ in each]), np.array([value for _, value in each])) for each in values.values()]


def _learn_constraint(encoding: PointEncoding, points: Points, values: Array) -> GaussianProcess:
    process = GaussianProcess(encoding.groups)
    # Not centred: 0 is the bound.
    process.fit(encoding.to_columns(points), values / (float(np.sqrt(np.mean(values**2))) or 1.0))
    return process
