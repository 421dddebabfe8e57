"""Summary of a run's spans: how long each row spent on what, with the time that nothing measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tracking.timings.spans import DELIVERY, REPORT, SUPERVISOR, Span, StudyRun

_REST: Final = {SUPERVISOR: "not measured", DELIVERY: "nothing to deliver", REPORT: "nothing to prepare"}
_NO_JOB: Final = "without a job"
_UNKNOWN: Final = "without a job, or not reported before the run was cut off"


@dataclass(frozen=True)
class Activity:
    """Time that a row spent on one thing.

    Attributes:
        start: when it began first, in seconds of the run; `end`: when it ended last.
        is_rest: whether it is what is left of the run, of which nothing else is known.
    """

    name: str
    seconds: float
    start: float
    end: float
    is_rest: bool = False


@dataclass(frozen=True)
class RowSummary:
    """A row's activities, in the order in which they began; they add up to the run."""

    row: str
    activities: Sequence[Activity]


def summarize(run: StudyRun) -> tuple[RowSummary, ...]:
    """Return the rows of a run: the supervisor, the workers, and what stands beside them."""
    rows: dict[str, list[Span]] = {}
    for span in run.spans:
        rows.setdefault(span.row, []).append(span)
    return tuple(RowSummary(row, _sum_up(row, rows[row], run)) for row in sorted(rows, key=place_row))


def _sum_up(row: str, spans: Sequence[Span], run: StudyRun) -> tuple[Activity, ...]:
    by_name: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: span.start):
        by_name.setdefault(span.name, []).append(span)
    found = [
        Activity(
            name,
            sum(each.seconds for each in of_name),
            of_name[0].start - run.start,
            max(each.end for each in of_name) - run.start,
        )
        for name, of_name in by_name.items()
    ]
    whole_s = run.end - run.start
    rest_s = max(0.0, whole_s - sum(each.seconds for each in found))
    rest = _REST.get(row, _NO_JOB if run.is_whole else _UNKNOWN)
    return (*found, Activity(rest, rest_s, 0.0, whole_s, is_rest=True))


def place_row(row: str) -> tuple[int, str, int]:
    """Return the place of a row: the supervisor first, then the workers by their numbers, then all others."""
    number = re.search(r"\d+$", row)
    name = row[: number.start()] if number else row
    first = {SUPERVISOR: 0, "worker ": 1}.get(name, 2)
    return first, name, int(number.group()) if number else 0
