"""Figure of several objectives: all trials, and the Pareto front."""

from __future__ import annotations

from itertools import combinations

from tracking.reports.content import StudyReport
from tracking.reports.figures.drawn import describe_drawn, select_drawn
from tracking.reports.figures.figure import Dots, Figure, Line, Mark, Panel
from tracking.reports.figures.scale import Scale

_MOST_PAIRS = 6


def draw_pareto(report: StudyReport) -> Figure | None:
    """Return the figure of each pair of objectives; None with one objective, or without a complete trial."""
    names = [name for name, _ in report.objectives]
    drawn = [trial for trial in select_drawn(report) if trial.is_complete and len(trial.values) == len(names)]
    if len(names) < 2 or not drawn:
        return None
    pareto_numbers = set(report.pareto)
    panels = []
    for one, other in list(combinations(range(len(names)), 2))[:_MOST_PAIRS]:
        across, up = (Scale.from_values([trial.values[each] for trial in drawn]) for each in (one, other))
        marks: list[Mark] = []
        for colour, found, width in (
            ("pruned", [trial for trial in drawn if not trial.is_allowed], 5.5),
            ("trial", [trial for trial in drawn if trial.is_allowed and trial.number not in pareto_numbers], 5.5),
            ("best", [trial for trial in drawn if trial.number in pareto_numbers], 8.0),
            ("winner", [trial for trial in drawn if trial.number == report.winner], 9.0),
        ):
            points = [(across.place(trial.values[one]), up.place(trial.values[other])) for trial in found]
            if colour == "best" and len(names) == 2:
                marks.append(Line("best", sorted(points), 1.4))
            marks.append(Dots(colour, points, [trial.number for trial in found], width))
        size = (560, 380) if len(names) == 2 else (440, 300)
        panels.append(Panel(across.make_axis(names[one]), up.make_axis(names[other]), marks, size=size))
    aims = ", ".join(f"{direction} {name}" for name, direction in report.objectives)
    has_refused = any(not trial.is_allowed for trial in drawn)
    return Figure(
        name="pareto-front",
        title="Pareto front",
        summary=f"{len(pareto_numbers)} of {len(report.complete)} complete trials are on the Pareto front: no other "
        f"is as good in all objectives ({aims}).",
        panels=panels,
        legend=[
            ("best", "on the Pareto front"), ("trial", "other trial"), ("winner", "winner by the first objective"),
            *([("pruned", "breaks a bound")] if has_refused else []),
        ],
        note=describe_drawn(report),
    )  # fmt: skip
