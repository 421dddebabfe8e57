"""Report of a study: one HTML file that needs no other file, its figures as PNG, and its trials as CSV.

MLflow shows the page in a sandbox where no script runs. So all of it is there without scripts; a small one adds
pointing, filters and the order of tables where it may run.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from search_spaces.values import Value
from tracking.reports.analysis.importances import Importance, estimate_importances
from tracking.reports.content import ReportTrial, StudyReport
from tracking.reports.figures.drawn import select_drawn
from tracking.reports.figures.figure import Figure
from tracking.reports.figures.gallery import draw_figures, write_pngs
from tracking.reports.page import MOST_ROWS, make_page
from tracking.reports.rendering import describe_pointed, render_page
from tracking.store.retrainings import Retraining

PAGE = "report.html"
_PLOTS = "plots"


def estimate(report: StudyReport) -> list[Importance]:
    """Return the importances of a study's parameters."""
    return estimate_importances(report.trials, report.parameters, report.direction)


def write_pictures(folder: Path, report: StudyReport, importances: Sequence[Importance]) -> Mapping[str, Figure]:
    """Write the figures of a report as PNG, ahead of its page, and return them; see `write_report`."""
    figures = draw_figures(report, importances)
    write_pngs(figures, folder / _PLOTS)
    return figures


def write_report(
    folder: Path,
    report: StudyReport,
    importances: Sequence[Importance] | None = None,
    *,
    version: str = "",
    written: str = "",
    has_plots: bool = True,
    painted: Mapping[str, Figure] = MappingProxyType({}),
) -> Path:
    """Write a report's files and return the path of its page.

    Args:
        folder: gets `report.html`, `trials.csv` and `plots/`.
        report: the content.
        importances: what `estimate` returns, where it was called before.
        version: of kerastudy.
        written: time to state on the page.
        has_plots: whether figures are written as PNG too.
        painted: those that are there as PNG, by `write_pictures`: what has changed since is written again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    importances = estimate(report) if importances is None else importances
    figures = draw_figures(report, importances)
    write_trials_csv(folder / "trials.csv", report.trials)
    if has_plots:
        write_pngs({name: each for name, each in figures.items() if painted.get(name) != each}, folder / _PLOTS)
    page = folder / PAGE
    page.write_text(_render(report, importances, figures, version, written), encoding="utf-8")
    return page


def render_report(report: StudyReport, *, version: str = "", written: str = "") -> str:
    """Return the page of a report."""
    importances = estimate(report)
    return _render(report, importances, draw_figures(report, importances), version, written)


def _render(
    report: StudyReport, importances: Sequence[Importance], figures: Mapping[str, Figure], version: str, written: str
) -> str:
    page = make_page(report, figures, importances, version=version, written=written)
    drawn = {trial.number for trial in select_drawn(report)} | {trial.number for trial in report.ranked[:MOST_ROWS]}
    pointed = describe_pointed(report, drawn, [parameter.name for parameter in report.varied])
    return render_page("study_report.html", pointed, report=report, page=page, figures=figures)


def write_trials_csv(path: Path, trials: Sequence[ReportTrial]) -> None:
    """Write one line a trial; parameters as `params_<name>`, empty where a trial has no such parameter."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        header = ["number", "state", "value", "best_epoch", "epochs", "duration_s", "reason"]
        writer.writerow([*header, *(f"params_{name}" for name in names)])
        for trial in trials:
            facts: list[Value] = [trial.number, trial.state, trial.score, trial.best_epoch, trial.epochs]
            facts += [trial.seconds, trial.reason]
            writer.writerow([*facts, *(trial.params.get(name, "") for name in names)])


def write_retrainings_csv(path: Path, retrainings: Sequence[Retraining]) -> None:
    """Write one line a retraining."""
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["number", "retraining", "state", "seed", "value", "epochs", "duration_s", "scores", "reason"])
        for each in retrainings:
            scores = " ".join(map(repr, each.scores))
            line = [each.number, each.name, each.state, each.seed, each.value, each.epochs, each.seconds]
            writer.writerow([*line, scores, each.reason])
