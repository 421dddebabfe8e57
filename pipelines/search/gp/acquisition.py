"""Expected improvement, and the search for the point that has the most of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

from pipelines.search.gp.encoding import PointEncoding, Points

Array = NDArray[np.float64]

# Chosen by the surrogate of tuning tasks: random points, points near the best ones, and steps of refinement.
_CANDIDATES = 1000
_REFINED = 5
_REFINEMENTS = (0.1, 0.03, 0.01)
_TRIES = 30
_LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)


def compute_log_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Return the logarithm of the expected improvement over a value, where more is better.

    The logarithm is computed without the difference of small numbers that makes it -inf far below the best value:
    Ament et al., Unexpected Improvements to Expected Improvement (2023), equation 9.
    """
    z = (mean - best) / deviation
    found = np.empty_like(z)
    near = z > -1
    found[near] = np.log(np.exp(-0.5 * z[near] ** 2 - _LOG_ROOT_2_PI) + z[near] * ndtr(z[near]))
    far = z[~near]
    ratio = -far * np.exp(log_ndtr(far) + 0.5 * far**2 + _LOG_ROOT_2_PI)
    # Below -25 the ratio is 1 to the last bit; its series gives 1 / z².
    rest = np.where(far > -25, np.log1p(-np.minimum(ratio, 1 - 1e-12)), -2 * np.log(-far))
    found[~near] = -0.5 * far**2 - _LOG_ROOT_2_PI + rest
    return found + np.log(deviation)


def compute_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Return the expected improvement over a value, where more is better."""
    return np.exp(compute_log_improvement(mean, deviation, best))


def find_best_point(
    encoding: PointEncoding,
    evaluate: Callable[[Points], Array],
    restrict: Callable[[Points], Points],
    near: Points,
    random: np.random.Generator,
) -> tuple[Points, float]:
    """Return the row with the greatest value found, and that value.

    Args:
        encoding: of the space.
        evaluate: returns the value of each row.
        restrict: returns rows with NaN for what they do not have; rows of NaN alone are outside the space.
        near: rows to search around.
        random: draws the candidates.
    """

    def rate(points: Points) -> Array:
        restricted = restrict(points)
        values = np.full(len(points), -np.inf)
        inside = ~np.isnan(restricted).all(1)
        if inside.any():
            values[inside] = evaluate(restricted[inside])
        return values

    candidates = _draw_candidates(encoding, near, random)
    values = rate(candidates)
    order = np.argsort(-values, kind="stable")[:_REFINED]
    best, best_values = candidates[order], values[order]
    for deviation in _REFINEMENTS:
        near_best = _perturb(encoding, np.repeat(best, _TRIES, 0), 0.5, deviation, random)
        found = rate(near_best).reshape(len(best), _TRIES)
        chosen, rows = found.argmax(1), np.arange(len(best))
        is_better = found[rows, chosen] > best_values
        points = near_best.reshape(len(best), _TRIES, -1)[rows, chosen]
        best = np.where(is_better[:, None], points, best)
        best_values = np.where(is_better, found[rows, chosen], best_values)
    winner = int(best_values.argmax())
    return restrict(best[winner : winner + 1])[0], float(best_values[winner])


def _draw_candidates(encoding: PointEncoding, near: Points, random: np.random.Generator) -> Points:
    size = len(encoding.axes)
    drawn = [encoding.snap(random.random((_CANDIDATES, size)))]
    if len(near):
        repeated = np.repeat(near, _CANDIDATES // 2 // len(near), 0)
        share = np.maximum(2 / size, random.random((len(repeated), 1)) * 0.8)
        deviation = 10 ** random.uniform(-2.5, -0.5, (len(repeated), 1))
        drawn.append(_perturb(encoding, repeated, share, deviation, random))
    return np.concatenate(drawn)


def _perturb(
    encoding: PointEncoding,
    points: Points,
    share: float | Array,
    deviation: float | Array,
    random: np.random.Generator,
) -> Points:
    """Return points with a share of their coordinates moved; what a point does not have, and a choice, is drawn."""
    drawn = random.random(points.shape)
    is_moved = random.random(points.shape) < share
    moved = np.clip(np.where(is_moved, points + random.normal(0, 1, points.shape) * deviation, points), 0, 1)
    is_choice = np.array([not axis.is_ordered for axis in encoding.axes])
    # A choice has no neighbours: it is drawn anew, more often while the steps are long.
    redraws = is_choice & is_moved & (random.random(points.shape) < np.minimum(1.0, 4 * np.asarray(deviation)))
    moved = np.where(redraws, drawn, np.where(is_choice, points, moved))
    return encoding.snap(np.where(np.isnan(points), drawn, moved))
