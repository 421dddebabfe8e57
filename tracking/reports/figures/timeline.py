"""Figure of a study's time: which trials trained at once, and how they were trained."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from tracking.reports.content import ReportTrial, StudyReport
from tracking.reports.figures.figure import Axis, Box, Figure, Mark, Panel
from tracking.reports.figures.history import choose_unit
from tracking.reports.figures.scale import Scale, format_number

_COLOURS: Final = {
    "complete": "c0",
    "complete in a fleet": "c2",
    "pruned": "pruned",
    "paused": "paused",
    "failed": "failed",
    "running": "running",
}
_MOST_LANES: Final = 48
_MOST_BOXES: Final = 1500
_GAP: Final = 0.002

Span = tuple[float, float, ReportTrial]


def draw_timeline(report: StudyReport) -> Figure | None:
    """Return the figure; None where times are not known."""
    spans: list[Span] = [
        (trial.started, trial.ended, trial)
        for trial in report.trials
        if trial.started is not None and trial.ended is not None and trial.ended > trial.started
    ]
    spans.sort(key=lambda span: (span[0], span[2].number))
    if not spans:
        return None
    lanes = divide_into_lanes(spans)
    start, end = spans[0][0], max(span[1] for span in spans)
    unit, seconds = choose_unit(end - start)
    across = Scale(0.0, max((end - start) / seconds, 1e-6))
    shown = lanes[:_MOST_LANES]
    is_merged = sum(map(len, shown)) > _MOST_BOXES
    height = 1 / len(shown)
    marks: list[Mark] = []
    for place, lane in enumerate(shown):
        top = 1 - place * height
        spread = [
            (across.place((one - start) / seconds), across.place((two - start) / seconds), each)
            for one, two, each in lane
        ]
        marks += _merge(spread, top, height) if is_merged else _draw_lane(spread, top, height)
    trained = {trial.trainer for _, _, trial in spans if trial.trainer}
    busy = sum(trial.seconds or 0.0 for _, _, trial in spans) / max(1e-9, (end - start) * len(lanes))
    ticks = [(1 - (place + 0.5) * height, str(place + 1)) for place in range(0, len(shown), max(1, len(shown) // 12))]
    panel = Panel(across.make_axis(unit), Axis("lane", ticks, has_grid=False), marks, size=(900, 120 + 9 * len(shown)))
    kinds = {_describe_kind(trial) for _, _, trial in spans}
    notes = [f"The first {_MOST_LANES} of {len(lanes)} lanes are shown." if len(lanes) > _MOST_LANES else ""]
    notes.append("Trials that follow each other closely are drawn as one block." if is_merged else "")
    notes.append(
        "A trial that was paused is drawn before its last end." if any(t.state == "paused" for *_, t in spans) else ""
    )
    return Figure(
        name="timeline",
        title="Timeline of trials",
        summary=f"{_count_lanes(len(lanes))} over {format_number(round((end - start) / seconds, 1))} {unit}"
        + (f", by {', '.join(sorted(trained))}" if trained else "")
        + f"; lanes were busy for {min(1.0, busy):.0%} of the time.",
        panels=[panel],
        legend=[("c0", "trials")]
        if is_merged
        else [(colour, kind) for kind, colour in _COLOURS.items() if kind in kinds],
        note=" ".join(filter(None, notes)),
    )


def _count_lanes(count: int) -> str:
    return "One trial after the other" if count == 1 else f"Up to {count} trials at once"


def divide_into_lanes(spans: Sequence[Span]) -> list[list[Span]]:
    """Return spans in as few lanes as possible, so that no two of a lane overlap; `spans` are sorted by their start.

    Which worker a trial was in is not stored: a lane is a place among the trials that trained at once.
    """
    lanes: list[list[Span]] = []
    free: list[tuple[float, int]] = []
    for span in spans:
        # The same tolerance as clocks have: a trial begins as another one ends.
        if free and free[0][0] <= span[0] + 0.05:
            _, lane = heapq.heappop(free)
        else:
            lane = len(lanes)
            lanes.append([])
        lanes[lane].append(span)
        heapq.heappush(free, (span[1], lane))
    return lanes


def _describe_kind(trial: ReportTrial) -> str:
    is_in_fleet = trial.state == "complete" and trial.trainer == "fleet"
    return "complete in a fleet" if is_in_fleet else trial.state


def _draw_lane(spans: Sequence[Span], top: float, height: float) -> list[Mark]:
    marks: list[Mark] = []
    for start, end, trial in spans:
        text = f"trial {trial.number}, {trial.state}"
        text += f", {format_number(round(trial.seconds, 1))} s" if trial.seconds is not None else ""
        colour = _COLOURS.get(_describe_kind(trial), "cancelled")
        # A gap between neighbours, unless a trial is too short for one.
        right = max(start + 0.0008, end - 0.0008)
        marks.append(Box(colour, start, top - 0.85 * height, right, top - 0.15 * height, text, trial.number))
    return marks


def _merge(spans: Sequence[Span], top: float, height: float) -> list[Mark]:
    """Return one box for trials of a lane that follow each other closely."""
    merged: list[list[float]] = []
    for start, end, _ in spans:
        if merged and start - merged[-1][1] < _GAP:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return [Box("c0", start, top - 0.85 * height, end, top - 0.15 * height) for start, end in merged]
