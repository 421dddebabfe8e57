"""All figures of a study, in the order of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tracking.reports.analysis.importances import Importance, estimate_importances
from tracking.reports.analysis.regions import find_regions
from tracking.reports.content import StudyReport
from tracking.reports.figures.curves import draw_curves
from tracking.reports.figures.evaluation import draw_evaluation
from tracking.reports.figures.figure import Figure
from tracking.reports.figures.forecast import draw_forecasts
from tracking.reports.figures.history import draw_history
from tracking.reports.figures.parameters import (
    describe_order,
    draw_contour,
    draw_importances,
    draw_parallel,
    draw_rank,
    draw_slices,
)
from tracking.reports.figures.pareto import draw_pareto
from tracking.reports.figures.png import write_png
from tracking.reports.figures.time_spent import draw_time_spent
from tracking.reports.figures.timeline import draw_timeline


def draw_figures(report: StudyReport, importances: Sequence[Importance] | None = None) -> dict[str, Figure]:
    """Return the figures that a study has anything for, by their names."""
    known = importances if importances is not None else estimate_importances(
        report.trials, report.parameters, report.direction
    )  # fmt: skip
    order = describe_order(known, report)
    found = [
        draw_history(report),
        draw_pareto(report),
        draw_curves(report),
        draw_importances(known),
        draw_slices(report, find_regions(report), order),
        draw_contour(report, order),
        draw_rank(report, order),
        draw_parallel(report, order),
        draw_timeline(report),
        draw_time_spent(report),
        *draw_forecasts(report.evaluation),
        *draw_evaluation(report.evaluation),
    ]
    return {figure.name: figure for figure in found if figure is not None}


def write_pngs(figures: Mapping[str, Figure], folder: Path) -> tuple[Path, ...]:
    """Write each figure as PNG into a folder; return the files."""
    files = []
    for name, figure in figures.items():
        files.append(folder / f"{name}.png")
        write_png(figure, files[-1])
    return tuple(files)
