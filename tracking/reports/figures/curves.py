"""Figure of learning curves: the best trials, and those that were pruned or paused."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracking.reports.content import Curve, ReportTrial, StudyReport
from tracking.reports.figures.drawn import make_score_scale
from tracking.reports.figures.figure import Figure, Label, Line, Mark, Panel
from tracking.reports.figures.palette import choose_series
from tracking.reports.figures.scale import Scale

BEST = 5
"""Curves in colours of their own."""
_QUIET = {"complete": "trial", "pruned": "pruned", "paused": "paused", "running": "running"}
# A diverged loss would flatten the rest of the curve.
_LARGEST = 1e100


def draw_curves(report: StudyReport) -> Figure | None:
    """Return the figure; None without curves."""
    shown = [trial for trial in report.ranked if _has_points(report.curves.get(trial.number, ()), report.metric)]
    if not shown:
        return None
    best = [trial for trial in shown if trial.state == "complete"][:BEST]
    quiet = [trial for trial in shown if trial not in best]
    panels = [_draw_panel(report, report.metric, best, quiet)]
    if report.metric != "val_loss" and any(_has_points(curve, "val_loss") for curve in report.curves.values()):
        panels.append(_draw_panel(report, "val_loss", best, quiet))
    if (winner := report.winning) and winner.number in report.curves:
        panels.append(_draw_winner(report, winner))
    states = [state for state in _QUIET if any(trial.state == state for trial in quiet)]
    legend = [(choose_series(place), f"trial {trial.number}") for place, trial in enumerate(best)]
    ended_early = sum(trial.state in ("pruned", "paused") for trial in quiet)
    return Figure(
        name="learning-curves",
        title="Learning curves",
        summary=f"{report.metric} by epoch of {_count_best(len(best))}"
        + (f", and of {ended_early} that were pruned or paused." if ended_early else "."),
        panels=panels,
        legend=[*legend, *((_QUIET[state], f"other {state} trials") for state in states)],
        note=f"Curves of {len(shown)} of {len(report.trials)} trials are drawn."
        if len(shown) < len(report.trials)
        else "",
    )


def _draw_panel(report: StudyReport, name: str, best: Sequence[ReportTrial], quiet: Sequence[ReportTrial]) -> Panel:
    curves = {trial.number: _read(report.curves[trial.number], name) for trial in (*best, *quiet)}
    finite = [value for values in curves.values() for value in values if math.isfinite(value)]
    up = make_score_scale(report, finite) if name == report.metric else _make_loss_scale(finite)
    across = _make_epochs(max(map(len, curves.values())))
    marks: list[Mark] = []
    for trial in quiet:
        marks += _trace(curves[trial.number], across, up, _QUIET.get(trial.state, "pruned"), trial.number, 1.1)
    # The best last, so that it is on top.
    for place, trial in reversed(list(enumerate(best))):
        marks += _trace(curves[trial.number], across, up, choose_series(place), trial.number, 2)
    return Panel(across.make_axis("epoch"), up.make_axis(name), marks, name)


def _draw_winner(report: StudyReport, winner: ReportTrial) -> Panel:
    """Draw training and validation of the winner in one panel: their distance shows overfitting."""
    curve = report.curves[winner.number]
    name = report.metric.removeprefix("val_") if _has_points(curve, report.metric.removeprefix("val_")) else "loss"
    train, val = _read(curve, name), _read(curve, f"val_{name}")
    up = _make_loss_scale([value for value in (*train, *val) if math.isfinite(value)])
    across = _make_epochs(len(curve))
    marks: list[Mark] = [
        *_trace(train, across, up, "train", None, 2, is_dashed=True),
        *_trace(val, across, up, "best", winner.number, 2),
    ]
    if winner.best_epoch is not None:
        x = across.place(winner.best_epoch)
        marks.append(Line("winner", [(x, 0), (x, 1)], 1.2, is_dashed=True))
        side = "left" if x > 0.6 else "right"
        marks.append(Label((x, 0.05), f"best epoch {winner.best_epoch}", side, "winner"))
    title = f"winner, trial {winner.number}; training dashed"
    return Panel(across.make_axis("epoch"), up.make_axis(name), marks, title)


def _count_best(count: int) -> str:
    return "the best trial" if count == 1 else f"the best {count} trials"


def _trace(
    values: Sequence[float], across: Scale, up: Scale, colour: str, trial: int | None, width: float,
    *, is_dashed: bool = False,
) -> list[Mark]:  # fmt: skip
    points = [
        (across.place(epoch), up.place(value)) if math.isfinite(value) else None
        for epoch, value in enumerate(values, start=1)
    ]
    if len(points) == 1 and points[0] is not None:  # a line of one point is not seen
        points = [points[0], (points[0][0] + 0.02, points[0][1])]
    return [Line(colour, points, width, trial, is_dashed)] if any(points) else []


def _make_epochs(longest: int) -> Scale:
    return Scale(1.0, float(max(2, longest)), is_whole=True)


def _make_loss_scale(values: Sequence[float]) -> Scale:
    ordered = sorted(values)
    cut = ordered[int(0.98 * (len(ordered) - 1))] if ordered else 0.0
    return Scale.from_numbers(value for value in ordered if value <= cut)


def _read(curve: Curve, name: str) -> list[float]:
    values = [metrics.get(name, math.nan) for metrics in curve]
    return [value if abs(value) < _LARGEST else math.nan for value in values]


def _has_points(curve: Curve, name: str) -> bool:
    return any(math.isfinite(value) for value in _read(curve, name))
