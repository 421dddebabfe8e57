"""Figure of a study's seconds: what the supervisor, each worker and the delivery spent them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tracking.reports.content import StudyReport
from tracking.reports.figures.figure import Axis, Box, Figure, Line, Mark, Panel
from tracking.reports.figures.history import choose_unit
from tracking.reports.figures.scale import Scale, format_number
from tracking.timings.spans import SUPERVISOR, StudyRun
from tracking.timings.summary import place_row, summarize

_COLOURS: Final[Mapping[str, str]] = {
    "importing": "c4",
    "starting a worker": "line",
    "reading data": "c5",
    "checking the study": "running",
    "checking models": "running",
    "opening the study": "trial",
    "compiling": "c1",
    "training": "c0",
    "drawing trials": "c3",
    "recording trials": "c6",
    "recording epochs": "c6",
    "baselines": "paused",
    "building models": "trial",
    "writing trials": "failed",
    "writing models": "failed",
    "importances and pictures": "c7",
    "importances": "c7",
    "report": "winner",
    "flushing to MLflow": "c2",
    "connecting to MLflow": "line",
    "delivering to MLflow": "c2",
    "waiting for workers": "band",
    "waiting for the supervisor": "band",
}
_OTHER: Final = "cancelled"
_BINS: Final = 180
_MOST_ROWS: Final = 24
_MOST_NAMED: Final = 4
_WHOLE: Final = 0.97
_LEAST_SHARE: Final = 0.04  # of a bin: about a pixel
_NAMED_SHARE: Final = 0.3
_ROW_PIXELS: Final = 26


def draw_time_spent(report: StudyReport) -> Figure | None:
    """Return the figure; None where nothing was measured."""
    runs = [run for run in report.runs if run.end > run.start]
    if not runs:
        return None
    whole_s = sum(run.end - run.start for run in runs)
    unit, seconds = choose_unit(whole_s)
    across = Scale(0.0, max(whole_s / seconds, 1e-6))
    rows = sorted({span.row for run in runs for span in run.spans}, key=place_row)
    shown = rows[:_MOST_ROWS]
    height = 1 / len(shown)
    marks: list[Mark] = []
    for index, row in enumerate(shown):
        marks += _draw_row(_fill_bins(runs, row, whole_s), 1 - index * height, height, whole_s, row)
    marks += [Line("ink", [(place, 0.0), (place, 1.0)], 1.2, is_dashed=True) for place in _list_borders(runs, whole_s)]
    names = {span.name for run in runs for span in run.spans if span.row in shown}
    ticks = [(1 - (index + 0.5) * height, row) for index, row in enumerate(shown)]
    size = (900, 70 + _ROW_PIXELS * len(shown))
    return Figure(
        name="time-spent",
        title="Where the time went",
        summary=f"{_count_runs(runs)} of {format_number(round(whole_s / seconds, 1))} {unit} in all. "
        + _describe_rows(runs),
        panels=[Panel(across.make_axis(unit), Axis("", ticks, has_grid=False), marks, size=size, left=150)],
        legend=_list_legend(names),
        note=" ".join(filter(None, _list_notes(runs, len(rows)))),
    )


def _fill_bins(runs: Sequence[StudyRun], row: str, whole_s: float) -> list[dict[str, float]]:
    """Return the share of each bin of the whole time that a row spent on each activity."""
    bins: list[dict[str, float]] = [{} for _ in range(_BINS)]
    width_s, before_s = whole_s / _BINS, 0.0
    for run in runs:
        for span in run.spans:
            length_s = span.end - span.start
            if span.row == row and length_s > 0:
                start = before_s + span.start - run.start
                _spread(bins, start / width_s, (start + length_s) / width_s, span.name, span.seconds / length_s)
        before_s += run.end - run.start
    return bins


def _spread(bins: list[dict[str, float]], start: float, end: float, name: str, share: float) -> None:
    for index in range(max(0, int(start)), min(_BINS, int(end) + 1)):
        covered = min(end, index + 1) - max(start, index)
        if covered > 0:
            bins[index][name] = bins[index].get(name, 0.0) + covered * share


def _draw_row(bins: Sequence[Mapping[str, float]], top: float, height: float, whole_s: float, row: str) -> list[Mark]:
    """Return the boxes of a row: neighbours of one activity as one, others stacked by their shares."""
    marks: list[Mark] = []
    low, room = top - 0.88 * height, 0.76 * height
    start = 0
    while start < _BINS:
        name = _find_whole(bins[start])
        end = start + 1
        while name and end < _BINS and _find_whole(bins[end]) == name:
            end += 1
        bottom = low
        for each, share in [(name, 1.0)] if name else sorted(bins[start].items(), key=lambda item: -item[1]):
            if share < _LEAST_SHARE:
                continue
            spent_s = (end - start) / _BINS * whole_s * share
            text = f"{row}: {each}, {format_number(round(spent_s, 2))} s" if share > _NAMED_SHARE else ""
            top_of = min(low + room, bottom + share * room)
            marks.append(Box(_COLOURS.get(each, _OTHER), start / _BINS, bottom, end / _BINS, top_of, text))
            bottom = top_of
        start = end
    return marks


def _find_whole(shares: Mapping[str, float]) -> str:
    """Return the one activity of a bin; empty where there are several, or time of which nothing is known."""
    return next((name for name, share in shares.items() if share >= _WHOLE), "")


def _list_borders(runs: Sequence[StudyRun], whole_s: float) -> list[float]:
    borders, passed_s = [], 0.0
    for run in runs[:-1]:
        passed_s += run.end - run.start
        borders.append(passed_s / whole_s)
    return borders


def _list_legend(names: set[str]) -> list[tuple[str, str]]:
    by_colour: dict[str, list[str]] = {}
    for name in [*(name for name in _COLOURS if name in names), *sorted(names - _COLOURS.keys())]:
        by_colour.setdefault(_COLOURS.get(name, _OTHER), []).append(name)
    return [(colour, ", ".join(of_colour)) for colour, of_colour in by_colour.items()]


def _describe_rows(runs: Sequence[StudyRun]) -> str:
    """Return what the supervisor spent most time on."""
    spent: dict[str, float] = {}
    for each in (each for run in runs for each in summarize(run)[0].activities):
        spent[each.name] = spent.get(each.name, 0.0) + each.seconds
    most = sorted(spent.items(), key=lambda item: -item[1])[:_MOST_NAMED]
    named = ", ".join(f"{name} {format_number(round(seconds, 1))} s" for name, seconds in most)
    return f"The {SUPERVISOR} spent most of it on: {named}."


def _count_runs(runs: Sequence[StudyRun]) -> str:
    return "One run" if len(runs) == 1 else f"{len(runs)} runs"


def _list_notes(runs: Sequence[StudyRun], rows: int) -> list[str]:
    return [
        "What is left white was not measured, or was time without work.",
        "The time between runs is left out." if len(runs) > 1 else "",
        f"The first {_MOST_ROWS} of {rows} rows are shown." if rows > _MOST_ROWS else "",
    ]
