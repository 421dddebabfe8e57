"""Scores of a study's trials after some share of their epochs, as a model learns them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from pipelines.search.gp.encoding import PointEncoding, Points

Array = NDArray[np.float64]

# Chosen: the time of a fit grows with the cube; the last point of each curve and the best curves stay.
_MOST_OBSERVATIONS = 300


@dataclass(frozen=True)
class Observations:
    """Scores of trials, where more is better.

    Attributes:
        points: the row of each score's trial.
        progress: logarithm of the epochs behind each score, 0 for one epoch and 1 for all of them.
        scores: as measured, the sign turned where less is better.
        pending: rows of trials whose score is not known yet.
        is_earlier: whether each score is of an earlier study.
        breaks: whether each score is of a trial that breaks a bound on an objective.
    """

    points: Points
    progress: Array
    scores: Array
    pending: Points
    is_earlier: NDArray[np.bool_]
    breaks: NDArray[np.bool_]

    @property
    def has_curves(self) -> bool:
        """Return whether some scores are of fewer epochs than a whole training."""
        return bool((self.progress < 1).any())


@dataclass(frozen=True)
class Curve:
    """Score of one trial after some numbers of epochs, the last one last; whether it breaks a bound on an objective."""

    row: Points
    progress: tuple[float, ...]
    scores: tuple[float, ...]
    breaks: bool = False


def read_observations(
    trials: Iterable[FrozenTrial],
    encoding: PointEncoding,
    finals: Mapping[int, float],
    *,
    sign: float,
    epochs: int,
) -> Observations:
    """Return the observations of trials in any state.

    A trial that failed, or whose model was too large to be trained, counts as the worst score seen.

    Args:
        trials: of one study, paused ones as pruned; intermediate values are the best score so far after so many
            epochs.
        encoding: of their points.
        finals: scores of the complete trials by number, where more is better.
        sign: 1 or -1, which turns intermediate values into scores; 0 where they are of another kind than the scores.
        epochs: the most that a trial trains.
    """
    rows = [(trial, encoding.encode(trial.params, trial.distributions)) for trial in trials]
    rows = [(trial, row) for trial, row in rows if not np.isnan(row).all()]
    running = [row for trial, row in rows if trial.state == TrialState.RUNNING]
    ended = [(trial, row) for trial, row in rows if trial.state != TrialState.RUNNING]
    others = {
        trial.number: curve
        for trial, row in ended
        if trial.number not in finals and (curve := _read_curve(trial, row, finals, sign, epochs))
    }
    known = finals.keys() | others.keys()
    has_failed = (TrialState.FAIL, TrialState.PRUNED)
    failed = [row for trial, row in ended if trial.state in has_failed and trial.number not in known]
    if finals and all(curve.progress[-1] == 1 for curve in others.values()):
        # The ends of whole trainings hold all that their curves do. What still trains is pending: its curve would bring
        # back all the others, and the cost of a fit grows with the cube.
        curves = [
            Curve(
                row,
                (1.0,),
                (finals[trial.number] if trial.number in finals else others[trial.number].scores[-1],),
                _breaks_bound(trial),
            )
            for trial, row in ended
            if trial.number in known
        ]
    else:
        curves = [curve for trial, row in rows if (curve := _read_curve(trial, row, finals, sign, epochs))]
    if curves and failed:
        worst = min(min(curve.scores) for curve in curves)
        curves += [Curve(row, (1.0,), (worst,)) for row in failed]
    return make_observations(curves, np.asarray(running).reshape(len(running), len(encoding.axes)), encoding)


def warp(scores: Array) -> Array:
    """Return scores of mean 0 and variance 1, those below the median drawn together.

    How bad a bad point is matters little, and one that diverged would otherwise decide the scale.
    """
    middle = np.median(scores)
    spread = math.sqrt(float(np.mean((scores[scores >= middle] - middle) ** 2))) or 1.0
    centred = (scores - middle) / spread
    drawn = np.where(centred < 0, -np.log1p(-np.minimum(centred, 0)), centred)
    deviation = float(drawn.std())
    return np.asarray((drawn - drawn.mean()) / (deviation or 1.0))


def _read_curve(trial: FrozenTrial, row: Points, finals: Mapping[int, float], sign: float, epochs: int) -> Curve | None:
    reached = sorted(trial.intermediate_values.items()) if sign else []
    if trial.number in finals:
        # A training that stopped early would not have become better: its end counts as the last epoch's.
        reached = reached[:-1]
    progress = [measure_progress(epoch, epochs) for epoch, _ in reached]
    scores = [sign * value for _, value in reached]
    if trial.number in finals:
        progress, scores = [*progress, 1.0], [*scores, finals[trial.number]]
    finite = [index for index, score in enumerate(scores) if math.isfinite(score)]
    if not finite:
        return None
    return Curve(
        row,
        tuple(progress[index] for index in finite),
        tuple(scores[index] for index in finite),
        _breaks_bound(trial),
    )


def _breaks_bound(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.COMPLETE and any(value > 0 for value in trial.constraints.values())


def measure_progress(epoch: int, epochs: int) -> float:
    """Return the logarithm of so many epochs as a share of that of all epochs."""
    return min(1.0, math.log(max(epoch, 1)) / math.log(epochs)) if epochs > 1 else 1.0


def make_observations(curves: Sequence[Curve], pending: Points, encoding: PointEncoding) -> Observations:
    """Return the observations of curves, the most important ones where there are too many."""
    points = [curve.row for curve in curves for _ in curve.scores]
    progress = np.array([each for curve in curves for each in curve.progress])
    scores = np.array([each for curve in curves for each in curve.scores])
    is_last = np.array([index == len(curve.scores) - 1 for curve in curves for index in range(len(curve.scores))])
    breaks = np.array([curve.breaks for curve in curves for _ in curve.scores], dtype=bool)
    rows = np.asarray(points).reshape(len(points), len(encoding.axes))
    if len(scores) > _MOST_OBSERVATIONS:
        # The last key sorts first.
        kept = np.sort(np.lexsort((-scores, ~is_last))[:_MOST_OBSERVATIONS])
        rows, progress, scores, breaks = rows[kept], progress[kept], scores[kept], breaks[kept]
    return Observations(rows, progress, scores, pending, np.zeros(len(scores), dtype=bool), breaks)
