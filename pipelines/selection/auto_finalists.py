"""Finalists that a study chooses by itself: the best trials, where validation rows are too few to distinguish them.

Scores of few rows are noise to a part, and the best of many is partly luck. Further trainings with other seeds decide
between such trials, for a small share of the search's time, and only while that can change the choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.search.trial_summaries import TrialSummary
from pipelines.selection.finalists import SHARES, Finalist
from pipelines.study.objective import Objective

# All chosen.
SHARE: Final = 0.15
_MOST: Final = 3
_FEWEST_ROUNDS: Final = 2
_ERRORS: Final = ("_error", "loss", "_crossentropy", "_hinge", "logcosh")


@dataclass(frozen=True)
class AutoFinalists:
    """The best trials of a search that cannot be distinguished.

    Attributes:
        rivals: these trials, the best first.
        noise: standard error of the best score.
        rows: validation rows that scores are means of.
        rounds: trainings of each that the share of the search's time allows, at most those of the study file.
        seconds: time that these take, by the trials' times.
    """

    rivals: tuple[TrialSummary, ...]
    metric: str
    noise: float
    rows: int
    rounds: int
    seconds: float
    allowed_s: float

    @property
    def is_affordable(self) -> bool:
        """Return whether each can be trained often enough for a mean."""
        return self.rounds >= _FEWEST_ROUNDS

    def describe(self) -> str:
        """Return why these trials are trained again, or are not, in one line."""
        apart = f"{self.metric} on {self.rows:,} rows has a standard error of {self.noise:.2g}, and they are within it"
        if self.is_affordable:
            return (
                f"{apart}; about {self.seconds:.3g} s, at most {SHARE:.0%} of the search's time; selection: "
                "{finalists: 0} turns it off"
            )
        return f"{apart}; further trainings would take over {SHARE:.0%} of the search's time"


def find_auto_finalists(
    ranked: Sequence[TrialSummary],
    trials: Iterable[TrialSummary],
    objective: Objective,
    *,
    rows: int,
    rounds: int,
    kept: int,
) -> AutoFinalists | None:
    """Return the best trials that cannot be distinguished; None where the best one stands alone.

    Args:
        ranked: the complete trials, the best first.
        trials: all trials of the search.
        objective: the study's objective; of several, none is chosen by retraining.
        rows: validation rows that a score is of.
        rounds: most trainings of each.
        kept: number of the best trials whose models are kept; the winner must be one of them.
    """
    if len(ranked) < 2 or objective.goals or ranked[0].value is None:
        return None
    noise = estimate_noise(objective.metric, ranked[0].value, rows)
    if noise is None:
        return None
    near = [trial for trial in ranked[: min(_MOST, kept)] if abs((trial.value or 0.0) - ranked[0].value) <= noise]
    if len(near) < 2:
        return None
    allowed_s = SHARE * sum(trial.seconds or 0.0 for trial in trials)
    # Two that are trained often show more than three that are trained once.
    while len(near) > 2 and _sum_seconds(near) * _FEWEST_ROUNDS > allowed_s:
        near.pop()
    each_s = _sum_seconds(near)
    possible = min(rounds, int(allowed_s / each_s)) if each_s > 0 else rounds
    return AutoFinalists(tuple(near), objective.metric, noise, rows, possible, each_s * possible, allowed_s)


def estimate_noise(metric: str, value: float, rows: int) -> float | None:
    """Return the standard error of a score over so many rows; None where nothing is known of the metric.

    Of a share it is the binomial one, after Agresti and Coull ("Approximate is better than exact", 1998), so that a
    score of 1 has one too; of a mean error that of a root mean square of normal errors, value / sqrt(2 rows).

    >>> round(estimate_noise("val_accuracy", 0.95, 100), 4), estimate_noise("val_loss", 2.0, 50)
    (0.0262, 0.2)
    """
    if rows < 1:
        return None
    if metric.endswith(SHARES):
        share = (min(max(value, 0.0), 1.0) * rows + 2) / (rows + 4)
        return math.sqrt(share * (1 - share) / (rows + 4))
    return abs(value) / math.sqrt(2 * rows) if metric.endswith(_ERRORS) else None


def is_apart(finalists: Sequence[Finalist]) -> bool:
    """Return whether the first finalist's interval touches no other's."""
    first, *others = finalists
    if first.interval is None:
        return False
    low, high = first.interval
    return all(each.interval and (each.interval[0] > high or each.interval[1] < low) for each in others)


def _sum_seconds(trials: Sequence[TrialSummary]) -> float:
    return sum(trial.seconds or 0.0 for trial in trials)
