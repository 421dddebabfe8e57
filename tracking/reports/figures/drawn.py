"""Trials that figures draw: all of a small study; of a large one the best, those that led, and a sample."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from tracking.reports.content import ReportTrial, StudyReport
from tracking.reports.figures.scale import Scale, format_count

MOST: Final = 1000
"""Dots of a figure: with more, a page is heavy and a figure is a cloud."""
_BEST: Final = 200
_CUT: Final = 0.95


def select_drawn(report: StudyReport, most: int = MOST) -> list[ReportTrial]:
    """Return the trials to draw, by number."""
    trials = [trial for trial in report.trials if _is_drawable(trial)]
    if len(trials) <= most:
        return trials
    chosen = {trial.number for trial in list_leaders(report)} | set(report.pareto)
    chosen |= {trial.number for trial in report.ranked[: min(_BEST, most // 2)]}
    rest = [trial.number for trial in trials if trial.number not in chosen]
    chosen |= set(random.Random(0).sample(rest, min(len(rest), max(0, most - len(chosen)))))
    return [trial for trial in trials if trial.number in chosen]


def describe_drawn(report: StudyReport, most: int = MOST) -> str:
    """Return how many trials are drawn; empty where all are."""
    total = sum(map(_is_drawable, report.trials))
    return (
        f"{most:,} of {total:,} trials are drawn: the best, those that led, and a random sample."
        if total > most
        else ""
    )


def list_leaders(report: StudyReport) -> list[ReportTrial]:
    """Return the complete trials that were the best when they ended, in that order."""
    found: list[ReportTrial] = []
    for trial in sort_by_end(report.complete):
        if trial.is_allowed and (not found or _is_better(report, trial, found[-1])):
            found.append(trial)
    return found


def sort_by_end(trials: Sequence[ReportTrial]) -> list[ReportTrial]:
    """Return trials by the time of their end; by number where that is not known."""
    if any(trial.ended is None for trial in trials):
        return sorted(trials, key=lambda trial: trial.number)
    return sorted(trials, key=lambda trial: (trial.ended or 0.0, trial.number))


def make_score_scale(report: StudyReport, values: Sequence[float]) -> Scale:
    """Return the scale of scores, without the few worst ones where these would flatten the others."""
    ordered = sorted(values, key=lambda value: report.sign * value)
    if len(ordered) < 8:
        return Scale.from_numbers(ordered)
    best, worst = ordered[0], ordered[-1]
    cut = ordered[int(_CUT * (len(ordered) - 1))]
    # Chosen: a third of the height for one trial in twenty.
    keeps_all = abs(worst - best) <= 1.5 * abs(cut - best) or cut == best
    return Scale.from_numbers(ordered if keeps_all else [value for value in ordered if _is_within(value, best, cut)])


def describe_beyond(values: Sequence[float], scale: Scale) -> str:
    """Return how many scores a scale leaves out; empty where it shows all."""
    count = sum(not scale.low <= value <= scale.high for value in values)
    return f"Beyond the axis: {format_count(count, 'much worse trial')}." if count else ""


def join_notes(*notes: str) -> str:
    """Return notes in one line, without empty ones."""
    return " ".join(filter(None, notes))


def _is_drawable(trial: ReportTrial) -> bool:
    return trial.score is not None


def _is_within(value: float, one: float, other: float) -> bool:
    return min(one, other) <= value <= max(one, other)


def _is_better(report: StudyReport, one: ReportTrial, other: ReportTrial) -> bool:
    assert one.score is not None
    assert other.score is not None
    return report.sign * one.score < report.sign * other.score
