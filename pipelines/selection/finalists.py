"""Choice of the winner among a study's best trials, by the mean score over further trainings of each.

The best of many scores is partly luck: a trial wins a search by its hyperparameters and by the seed that it happened to
have. So the trainings of the search itself do not count here: only those that it did not choose by.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipelines.models.objectives import find_bounds
from pipelines.search.trial_summaries import TrialSummary, rank_trials
from pipelines.spec.schema import SelectionSpec
from pipelines.study.objective import Objective

if TYPE_CHECKING:
    from tracking.store.retrainings import Retraining  # loads SQLAlchemy, which a worker does without

REFIT: Final = "refit"
"""The retraining that trains the winner on training and validation rows together."""

COMPARED: Final = "compare-"
"""How the names of the retrainings begin that compare a refit with the trial's own way of training."""

ENSEMBLE: Final = "ensemble"
"""The winner's model and further trainings of it, averaged."""

AUTO: Final = "auto-finalists"
"""The row of the finalists that a study chose itself: their numbers are its parts."""

_CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Finalist:
    """A trial with further trainings, among which the winner is chosen.

    Attributes:
        scores: the objective of each of these trainings.
        interval: the 95 % confidence interval of their mean by Student's t; None for a single one.
    """

    number: int
    mean: float
    interval: tuple[float, float] | None
    scores: tuple[float, ...]

    def describe(self) -> str:
        """Return the mean with its interval.

        >>> Finalist(3, 0.5, (0.25, 0.75), (0.4, 0.6)).describe()
        '0.5 over 2 trainings, 95 % interval 0.25 to 0.75'
        """
        over = "1 training" if len(self.scores) == 1 else f"{len(self.scores)} trainings"
        spread = "" if self.interval is None else f", 95 % interval {self.interval[0]:.5g} to {self.interval[1]:.5g}"
        return f"{self.mean:.5g} over {over}{spread}"


def list_retrainings(selection: SelectionSpec) -> tuple[str, ...]:
    """Return the names of the retrainings that each finalist is ranked by."""
    if selection.folds is not None:
        return (f"folds-{selection.folds}",)
    return tuple(f"seed-{index}" for index in range(1, selection.seeds + 1))


def count_folds(retraining: str, folds: int) -> int:
    """Return how many folds a retraining trains, where the study's trials train so many."""
    if retraining == REFIT or retraining.startswith(COMPARED):
        return 1
    return int(retraining.removeprefix("folds-")) if retraining.startswith("folds-") else folds


def rank_finalists(
    trials: Iterable[TrialSummary], retrainings: Iterable[Retraining], selection: SelectionSpec, objective: Objective
) -> tuple[Finalist, ...]:
    """Return a study's finalists by their means, the best first; one whose trainings all failed is left out.

    Of equal means the one with the better score in the search comes first. Empty where there are no retrainings.
    """
    if not selection.finalists:
        return ()
    names, retrainings = list_retrainings(selection), tuple(retrainings)
    best = rank_trials(trials, objective)
    if selection.finalists == "auto":
        decision = _find_decision(retrainings)
        numbers = decision.parts if decision else ()
        best = [trial for trial in best if trial.number in numbers]
    else:
        best = best[: selection.finalists]
    scores: dict[int, list[float]] = {trial.number: [] for trial in best}
    for retraining in retrainings:
        if retraining.number in scores and retraining.name in names and retraining.state == "complete":
            scores[retraining.number] += retraining.scores
    sign = 1.0 if objective.direction == "minimize" else -1.0
    bounds = find_bounds(objective.metric, [score for of_trial in scores.values() for score in of_trial])
    finalists = [_make_finalist(number, tuple(of_trial), bounds) for number, of_trial in scores.items() if of_trial]
    # The finalists have the order of the search, which a stable sort leaves to equal means.
    return tuple(sorted(finalists, key=lambda finalist: sign * finalist.mean))


def explain_finalists(retrainings: Iterable[Retraining], selection: SelectionSpec) -> str:
    """Return why `selection: auto` trained trials again, or none; empty where the study file names the finalists."""
    decision = _find_decision(retrainings) if selection.finalists == "auto" else None
    if decision is None or not decision.reason:
        return ""
    return f"{'trained again' if decision.parts else 'no trial trained again'}: {decision.reason}"


def _find_decision(retrainings: Iterable[Retraining]) -> Retraining | None:
    """Return the latest decision of `selection: auto`; None where there is none."""
    return max((each for each in retrainings if each.name == AUTO), key=lambda each: each.ended_ms, default=None)


def derive_retraining_seed(seed: int, number: int, name: str) -> int:
    """Return the seed of a retraining: it depends on the study's seed, the trial's number and the name alone."""
    # A hash, so that neighbours have unrelated seeds; Keras accepts seeds of 32 bits.
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}:{name}".encode()).digest()[:4], "big")


def _make_finalist(number: int, scores: tuple[float, ...], bounds: tuple[float, float]) -> Finalist:
    mean = statistics.fmean(scores)
    if len(scores) == 1:
        return Finalist(number, mean, None, scores)
    from scipy.special import stdtrit  # the t distribution of `scipy.stats`, which takes a second to load

    half = float(stdtrit(len(scores) - 1, (1 + _CONFIDENCE) / 2)) * statistics.stdev(scores) / math.sqrt(len(scores))
    # The t distribution knows no bounds: two accuracies would have an interval beyond 1.
    return Finalist(number, mean, (max(bounds[0], mean - half), min(bounds[1], mean + half)), scores)
