"""Best regions: where the values of the best trials are, on the scale that is searched."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from search_spaces.values import Value
from tracking.reports.content import ReportParameter, ReportTrial, StudyReport
from tracking.reports.figures.scale import format_number

FEWEST: Final = 10
"""Complete trials below which the best of them show no region."""
_SHARE: Final = 0.1
_LEAST_BEST: Final = 5


@dataclass(frozen=True)
class Region:
    """Region of one parameter.

    Attributes:
        low: smallest value among the best trials without their outermost tenths; None for choices.
        high: largest one.
        counts: for choices, how many of the best trials have each, most first.
        trials: number of the best trials that have the parameter.
    """

    name: str
    low: float | None = None
    high: float | None = None
    counts: tuple[tuple[Value, int], ...] = field(default=())
    trials: int = 0

    def describe(self) -> str:
        """Return the region in words."""
        if self.low is not None and self.low == self.high:
            return format_number(self.low)
        if self.low is not None and self.high is not None:
            return f"{format_number(self.low)} to {format_number(self.high)}"
        return ", ".join(f"{value} ({count} of {self.trials})" for value, count in self.counts[:4])


def select_best(report: StudyReport) -> Sequence[ReportTrial]:
    """Return the best tenth of the complete trials, at least five; empty where there are too few to have a region."""
    allowed = [trial for trial in report.complete if trial.is_allowed]
    if len(allowed) < FEWEST:
        return []
    ordered = sorted(allowed, key=lambda trial: (report.sign * (trial.score or 0.0), trial.number))
    return ordered[: max(_LEAST_BEST, math.ceil(_SHARE * len(ordered)))]


def find_regions(report: StudyReport) -> dict[str, Region]:
    """Return the best region of each parameter that varies."""
    best = select_best(report)
    found = {}
    for parameter in report.varied:
        values = [trial.params[parameter.name] for trial in best if parameter.name in trial.params]
        if values:
            found[parameter.name] = _find_region(parameter, values)
    return found


def _find_region(parameter: ReportParameter, values: Sequence[Value]) -> Region:
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if parameter.choices or len(numbers) < len(values):
        # By text: true equals 1.
        shown = {str(value): value for value in values}
        counts = Counter(map(str, values)).most_common()
        return Region(parameter.name, counts=tuple((shown[text], count) for text, count in counts), trials=len(values))
    ordered = sorted(numbers)
    cut = int(0.1 * len(ordered))
    return Region(parameter.name, ordered[cut], ordered[-1 - cut], trials=len(values))
