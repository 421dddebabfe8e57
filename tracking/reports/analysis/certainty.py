"""Certainty of a study's result: the interval of the winner's score, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from tracking.reports.content import PartEvaluation, StudyReport
from tracking.reports.figures.scale import format_number


@dataclass(frozen=True)
class Certainty:
    """How sure the winner's score is.

    Attributes:
        name: name of the measured quantity.
        value: the best estimate of it.
        interval: its 95 % interval; None where nothing shows one.
        basis: where both come from, in one sentence.
    """

    name: str
    value: float
    interval: tuple[float, float] | None
    basis: str

    def describe(self) -> str:
        """Return value and interval."""
        if self.interval is None:
            return format_number(self.value)
        low, high = map(format_number, self.interval)
        return f"{format_number(self.value)} (95 % interval {low} to {high})"


def assess_certainty(report: StudyReport) -> Certainty | None:
    """Return how sure the winner's score is, by the best evidence that there is; None without a winner."""
    winner = report.winning
    if winner is None or winner.score is None:
        return None
    finalist = next((each for each in report.finalists if each.number == report.winner), None)
    if finalist is not None and finalist.interval is not None:
        count = len(finalist.scores)
        return Certainty(
            report.metric, finalist.mean, finalist.interval,
            f"Mean of {count} further trainings of trial {winner.number}, and its interval by Student's t; the search "
            "did not choose by them.",
        )  # fmt: skip
    shown = report.metric.removeprefix("val_")
    parts, metric = report.evaluation.find_measured(shown) if report.evaluation else ({}, shown)
    for part, basis in (
        ("test", "The delivered model on {rows:,} test rows, which chose nothing; interval by {method}."),
        ("validation", "The delivered model on {rows:,} validation rows; interval by {method}. The search chose by "
         "these rows, so it is optimistic."),
    ):  # fmt: skip
        found = parts.get(part)
        if found is not None and metric in found.intervals and (value := _find_value(found, metric)) is not None:
            name = f"{part} {shown}"
            method = "Wilson's formula" if metric.endswith("accuracy") else found.method
            return Certainty(name, value, found.intervals[metric], basis.format(rows=found.rows, method=method))
    return Certainty(
        report.metric, winner.score, None,
        "One training, scored on the rows that the search chose by: nothing shows how sure it is. "
        "selection.finalists: 1 trains the winner again with other seeds.",
    )  # fmt: skip


def _find_value(part: PartEvaluation, metric: str) -> float | None:
    return part.metrics.get(metric)
