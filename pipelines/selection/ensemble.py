"""Decision on a winner's ensemble: its model and those of further trainings of it, averaged into one.

The further trainings are folds of the training and validation rows together, each stopped by the rows held out from it.
So all rows are used, and every fold has a score on rows that it never saw. Rows in an order, whose folds would be
trained on the earliest rows alone, have trainings with other seeds instead.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.models.objectives import is_share
from pipelines.selection.finalists import ENSEMBLE
from pipelines.spec.schema import StudySpec
from pipelines.study.objective import Objective
from tracking.store.retrainings import Retraining

MEMBER: Final = "member-"
"""How the names of the retrainings begin whose models are averaged, where there are no folds."""

_CONFIDENCE: Final = 0.99
_TENTH: Final = 0.1
_HALF: Final = 0.5
_FEWEST: Final = 4  # the spread of fewer means nothing


def count_members(spec: StudySpec) -> int:
    """Return how many models an ensemble averages, the trial's among them; 0 without one.

    A ranking by folds has trained them already.
    """
    wanted = spec.selection.ensemble
    if wanted is True:
        return 1 + (spec.selection.folds or 5)
    return int(wanted)


def can_fold(spec: StudySpec) -> bool:
    """Return whether the further trainings of an ensemble are folds of the rows."""
    return spec.data.split.order is None and spec.data.series is None


@dataclass(frozen=True)
class FoldScores:
    """Scores of a winner's folds beside the score that it won with.

    Attributes:
        own: the trial's score on the validation rows.
        folds: score of each fold on the rows held out from it.
    """

    objective: Objective
    own: float
    folds: tuple[float, ...]

    @property
    def outlier(self) -> float | None:
        """The score of a fold that trained worse than the others by far; None where none did.

        Such a fold has gone wrong, and would spoil the mean. It lies outside the 99 % prediction interval of the others
        by Student's t, and is worse by half: the rows of folds differ too, and equal scores have no spread.
        """
        from scipy.special import stdtrit  # the t distribution of `scipy.stats`, which takes a second to load

        if len(self.folds) < _FEWEST:
            return None
        sign = 1.0 if self.objective.direction == "minimize" else -1.0
        *others, worst = sorted(self.folds, key=lambda score: sign * score)
        mean, count = statistics.fmean(others), len(others)
        spread = statistics.stdev(others) * math.sqrt(1 + 1 / count)
        of_shares = is_share(self.objective.metric, self.folds)
        error = max(_HALF * (1.0 - mean), _TENTH) if of_shares else _HALF * abs(mean)
        reach = max(float(stdtrit(count - 1, (1 + _CONFIDENCE) / 2)) * spread, error)
        return worst if sign * (worst - mean) > reach else None

    def describe(self) -> str:
        """Return the scores in one line.

        >>> FoldScores(Objective("val_loss", "minimize"), 0.5, (0.25, 0.75)).describe()
        "its 2 folds have a mean val_loss of 0.5, each on rows held out; the trial's own model has 0.5 where it won"
        """
        mean = statistics.fmean(self.folds)
        return (
            f"its {len(self.folds)} folds have a mean {self.objective.metric} of {mean:.5g}, each on rows held out; "
            f"the trial's own model has {self.own:.5g} where it won"
        )


def explain_ensemble(retrainings: Iterable[Retraining], number: int, *, is_delivered: bool) -> str:
    """Return why a trial's ensemble is delivered, or is not, in one line; empty where that is not decided."""
    row = next((each for each in retrainings if (each.number, each.name) == (number, ENSEMBLE)), None)
    if row is None:
        return ""
    if is_delivered:
        return f"ensemble of {len(row.parts)} models delivered: {row.reason}"
    return f"ensemble {'kept' if row.state == 'complete' else 'not delivered'}: {row.reason}"


def list_member_names(count: int) -> Sequence[str]:
    """Return the names of the retrainings with other seeds, for an ensemble of so many models."""
    return [f"{MEMBER}{index}" for index in range(1, count)]
