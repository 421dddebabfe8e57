"""Figure of a study's progress: scores, and the best so far, by trial, by epochs spent and by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from tracking.reports.content import ReportTrial, StudyReport
from tracking.reports.figures.drawn import (
    describe_beyond,
    describe_drawn,
    join_notes,
    list_leaders,
    make_score_scale,
    select_drawn,
    sort_by_end,
)
from tracking.reports.figures.figure import Dots, Figure, Line, Mark, Panel, Point
from tracking.reports.figures.scale import Scale, format_count, format_number

_SHOWN = ("complete", "pruned", "paused")
_COLOURS = {"complete": "trial", "pruned": "pruned", "paused": "paused"}


def draw_history(report: StudyReport) -> Figure | None:
    """Return the figure; None without a score."""
    drawn = [trial for trial in select_drawn(report) if trial.score is not None]
    if not drawn:
        return None
    panels = [_draw_panel(report, drawn, "by trial", "trial", {trial.number: float(trial.number) for trial in drawn})]
    ordered = sort_by_end([trial for trial in report.trials if trial.ended is not None])
    if any(trial.epochs for trial in ordered):
        spent = list(accumulate(float(trial.epochs or 0) for trial in ordered))
        places = {trial.number: total for trial, total in zip(ordered, spent, strict=True)}
        panels.append(_draw_panel(report, drawn, "by epochs spent", "epochs", places))
    if len(ordered) > 1:
        start = min(trial.started if trial.started is not None else trial.ended or 0.0 for trial in ordered)
        unit, seconds = choose_unit(max((trial.ended or 0.0) - start for trial in ordered))
        places = {trial.number: ((trial.ended or start) - start) / seconds for trial in ordered}
        panels.append(_draw_panel(report, drawn, "by time", unit, places))
    scores = [trial.score for trial in drawn if trial.score is not None]
    states = [state for state in _SHOWN if any(trial.state == state for trial in drawn)]
    return Figure(
        name="optimization-history",
        title="Progress of the search",
        summary=_summarize(report),
        panels=panels,
        legend=[
            *((_COLOURS[state], f"{state} trial") for state in states),
            ("best", "best so far"),
            ("winner", "winner"),
        ],
        note=join_notes(describe_drawn(report), describe_beyond(scores, make_score_scale(report, scores))),
    )


def _draw_panel(
    report: StudyReport, drawn: Sequence[ReportTrial], title: str, unit: str, places: dict[int, float]
) -> Panel:
    up = make_score_scale(report, [trial.score for trial in drawn if trial.score is not None])
    across = Scale.from_numbers(places.values(), room=0.02)
    # A study begins at 0, also one whose first trial took long.
    across = Scale(-0.02 * max(1.0, across.high), max(1.0, across.high), is_whole=unit in ("trial", "epochs"))

    def locate(trial: ReportTrial) -> Point:
        return across.place(places[trial.number]), up.place(trial.score)

    marks: list[Mark] = []
    for state in reversed(_SHOWN):
        found = [trial for trial in drawn if trial.state == state and trial.number in places]
        marks.append(Dots(_COLOURS[state], list(map(locate, found)), [trial.number for trial in found]))
    leaders = [trial for trial in list_leaders(report) if trial.number in places]
    marks += _draw_best(leaders, locate)
    if (winner := report.winning) is not None and winner.score is not None and winner.number in places:
        marks.append(Dots("winner", [locate(winner)], [winner.number], size=9))
    return Panel(across.make_axis(unit), up.make_axis(report.metric), marks, title)


def _draw_best(leaders: Sequence[ReportTrial], locate: Callable[[ReportTrial], Point]) -> list[Mark]:
    if not leaders:
        return []
    steps: list[Point | None] = []
    for trial in leaders:
        x, y = locate(trial)
        last = next((at for at in reversed(steps) if at is not None), None)
        steps += [(x, last[1]), (x, y)] if last else [(x, y)]
    last = steps[-1]
    assert last is not None
    # A leader beyond the axis has no place: the line begins with the next one.
    return [Line("best", [*steps, (1.0, last[1])], width=2)]


def choose_unit(longest_s: float) -> tuple[str, float]:
    """Return a unit for a time, and its seconds."""
    if longest_s > 2 * 86_400:
        return "days", 86_400.0
    if longest_s > 3 * 3600:
        return "hours", 3600.0
    return ("minutes", 60.0) if longest_s > 180 else ("seconds", 1.0)


def _summarize(report: StudyReport) -> str:
    leaders = list_leaders(report)
    if not leaders:
        return f"No trial is complete; {report.metric} of those that were ended early is shown."
    first, best = leaders[0], leaders[-1]
    after = sum(1 for trial in report.complete if trial.number > best.number)
    if len(report.complete) == 1:
        return f"{report.metric} of the only complete trial was {format_number(first.score or 0.0)}."
    start = f"{report.metric} of the first complete trial was {format_number(first.score or 0.0)}"
    if best is first:
        return f"{start}, and no later one was better."
    followed = format_count(after, "complete trial") if after else "none"
    return (
        f"{start}; the best, {format_number(best.score or 0.0)}, is trial {best.number}, "
        f"after {format_count(len(leaders) - 1, 'improvement')}; {followed} followed it."
        f"{_explain_tie(report, best)}"
    )


def _explain_tie(report: StudyReport, best: ReportTrial) -> str:
    """Return which of equal trials won; empty where the best is the winner, or another rule chose it."""
    winner = report.winning
    if winner is None or winner.number == best.number or winner.score != best.score:
        return ""
    return f" Of equal ones trial {winner.number} is the winner."
