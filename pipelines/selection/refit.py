"""Comparison of a winner's refit with its own way of training, on validation rows held out from both.

A refit has more rows, and none left to stop by: its number of epochs is fixed, and the last one counts. Which is worth
more depends on the study, and no row is left to score the refit on but the test rows, which choose nothing. So both
ways train a few times without half of the validation rows, and are scored on these. They are few: a refit is delivered
where its way is better by more than their noise. On 30 published splits of three UCI sets it would have been worse than
the trial's own model on 5 of the 11 that do no worse, and on 2 of the 7 that do better by so much.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.data.splits.division import Division
from pipelines.selection.finalists import COMPARED, REFIT
from pipelines.selection.score_noise import RowCounts, estimate_noise
from pipelines.study.objective import Objective
from tracking.store.retrainings import Retraining

COMPARISON: Final = "refit-comparison"
"""The row of a comparison among a winner's retrainings; no training, as the ensemble is none."""

SEEN: Final = "seen_"
"""Before the objective's name: the mean score of compared refits on validation rows that they were trained on."""

REFIT_ROWS: Final = Division(1)
"""The rows of a refit: training and validation rows together."""

_COMPARED: Final = 3  # chosen: the scores of trainings that differ in their seed spread by a few per cent


@dataclass(frozen=True)
class ComparedTraining:
    """A training of a comparison.

    Attributes:
        name: name of the retraining.
        division: rows that it trains on, and is scored on.
        refits: whether it trains as a refit does, for a fixed number of epochs.
    """

    name: str
    division: Division
    refits: bool


COMPARED_TRAININGS: Final = tuple(
    ComparedTraining(f"{COMPARED}{way}-{index}", Division(folds, holds_out=True), refits)
    for index in range(1, _COMPARED + 1)
    for way, folds, refits in (("own", None, False), (REFIT, 1, True))
)
"""The trainings of a comparison, the two ways in turn: a pause leaves about as many of each."""


@dataclass(frozen=True)
class RefitComparison:
    """Scores of the two ways on the rows held out from both.

    Attributes:
        own: of trainings as the trial's.
        refit: of trainings as the refit's.
        seen: mean score of the latter on validation rows that they were trained on; NaN where it is not known.
        noise: standard error of such a mean over the rows held out; 0 where it is not known.
    """

    objective: Objective
    own: tuple[float, ...]
    refit: tuple[float, ...]
    seen: float = math.nan
    noise: float = 0.0

    @property
    def means(self) -> tuple[float, float]:
        """Return the means: as the trial trains, and as a refit does."""
        return statistics.fmean(self.own), statistics.fmean(self.refit)

    @property
    def is_as_good(self) -> bool:
        """Return whether the refit's way is at least as good."""
        own, refit = self.means
        return not self.objective.is_better(own, refit)

    @property
    def is_established(self) -> bool:
        """Return whether the refit's way is better by more than other rows could change; as good, if unknown."""
        own, refit = self.means
        return self.is_as_good and abs(refit - own) >= self.noise

    def describe(self) -> str:
        """Return the scores in one line, and why what is as good is not established.

        >>> RefitComparison(Objective("val_loss", "minimize"), (0.5, 0.25), (0.75, 0.5)).describe()
        'on validation rows held out, val_loss is 0.625 with the others in training and 0.375 as the trial trains \
(means of 2 trainings)'
        """
        own, refit = self.means
        scores = (
            f"on validation rows held out, {self.objective.metric} is {refit:.5g} with the others in training and "
            f"{own:.5g} as the trial trains (means of {len(self.own)} trainings)"
        )
        if self.is_as_good and not self.is_established:
            return f"{scores}; the difference is within the standard error of {self.noise:.2g} over these rows"
        return scores

    def find_defect(self, value: float) -> str:
        """Return why a refit with this score on the validation rows is not delivered; empty for one that is sound.

        A refit ends at whatever its last epoch happens to be. It was trained on these rows, so it must not do worse
        there than the trial's way on rows that it never saw. Nor may it be expected to do worse than that on such rows
        itself: by how much they are worse is known from the trainings that were compared.
        """
        own, refit = self.means
        seen = f"{self.objective.metric} is {value:.5g} on the validation rows, which it was trained on"
        if self.objective.is_better(own, value):
            return f"{seen}, and {own:.5g} as the trial trains on rows held out"
        expected = value + refit - self.seen
        if math.isfinite(expected) and self.objective.is_better(own, expected):
            return f"{seen}: {expected:.5g} is expected on rows held out, and the trial's way has {own:.5g} there"
        return ""


def make_comparison(
    objective: Objective,
    scores: Sequence[Mapping[str, float]],
    stored: Mapping[str, Retraining],
    counts: RowCounts,
) -> RefitComparison | None:
    """Return the comparison of `COMPARED_TRAININGS`; None where the objective is not known of all.

    Args:
        objective: of the study.
        scores: the metrics of each training on the rows held out.
        stored: the trainings by name.
        counts: the validation rows, half of which are held out.
    """
    name = f"test_{objective.metric.removeprefix('val_')}"
    ways: dict[bool, list[float]] = {False: [], True: []}
    for training, found in zip(COMPARED_TRAININGS, scores, strict=True):
        if not math.isfinite(value := found.get(name, math.nan)):
            return None
        ways[training.refits].append(value)
    seen = [stored[training.name].value for training in COMPARED_TRAININGS if training.refits]
    known = [value for value in seen if value is not None]
    own = tuple(ways[False])
    noise = estimate_noise(objective.metric, statistics.fmean(own), counts.halve()) or 0.0
    return RefitComparison(objective, own, tuple(ways[True]), statistics.fmean(known) if known else math.nan, noise)


def read_comparison(objective: Objective, row: Retraining) -> RefitComparison:
    """Return the comparison that a row among the retrainings holds."""
    half = len(row.scores) // 2
    # An earlier version stored none.
    seen = row.metrics.get(f"{SEEN}{objective.metric}", math.nan)
    return RefitComparison(objective, row.scores[:half], row.scores[half:], seen)


def explain_refit(retrainings: Iterable[Retraining], number: int, *, is_refitted: bool) -> str:
    """Return why a trial's refit is delivered, or is not, in one line; empty where that is not decided."""
    rows = {each.name: each for each in retrainings if each.number == number}
    if (comparison := rows.get(COMPARISON)) is None:
        return ""
    if is_refitted:
        return f"refit delivered: {comparison.reason}"
    if comparison.state == "failed":
        return f"refit not delivered: {comparison.reason}"
    refit = rows.get(REFIT)
    return f"refit not delivered: {refit.reason}" if refit is not None and refit.state == "failed" else ""
