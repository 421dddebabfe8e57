"""Report of a study: one HTML file without other files, and its trials as CSV.

MLflow shows the file in a sandbox where scripts do not run and relative images break; so the page has none.
`study_report.html` is its template.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from search_spaces.values import Direction, Value
from tracking.reports.plots import Curve, PlottedTrial, write_study_plots
from tracking.store.retrainings import Retraining

_MOST_ROWS: Final = 200


@dataclass(frozen=True)
class DataSection:
    """What a report shows of the study's data.

    Attributes:
        notes: what was decided for the user and what looks wrong.
        lines: further lines, such as the shares of classes.
        titles: heads of the table of columns.
        rows: that table's lines.
    """

    notes: Sequence[str] = ()
    lines: Sequence[str] = ()
    titles: Sequence[str] = ()
    rows: Sequence[Sequence[Value]] = ()


@dataclass(frozen=True)
class StudyReport:
    """Content of a report.

    Attributes:
        outcome: one line, for example why the study ended.
        rows: the study's trials.
        space: the search space as text.
        facts: named facts on data, search and environment, in the order to show them.
        curves: metrics of each epoch, by number of the trial; the best trials are drawn.
        winner: number of the winner, if it was not chosen by its score alone.
        selection: lines of the selection: trial, mean, ends of the interval, scores.
        data: the study's data.
    """

    study: str
    metric: str
    direction: Direction
    outcome: str
    rows: Sequence[PlottedTrial]
    space: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[int, Curve] = field(default_factory=dict)
    winner: int | None = None
    selection: Sequence[tuple[Value, ...]] = ()
    data: DataSection = DataSection()


def draw_plots(folder: Path, report: StudyReport) -> tuple[Path, ...]:
    """Draw the plots of a report below `plots/`; return the files in the order to show them."""
    return write_study_plots(
        report.rows, folder / "plots", metric=report.metric, direction=report.direction, curves=report.curves
    )


def write_page(folder: Path, report: StudyReport, plots: Sequence[Path]) -> Path:
    """Write `trials.csv` and `report.html` with these plots; return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    write_trials_csv(folder / "trials.csv", report.rows)
    page = folder / "report.html"
    page.write_text(_render_page(report, plots), encoding="utf-8")
    return page


def write_trials_csv(path: Path, rows: Sequence[PlottedTrial]) -> None:
    """Write one line a trial; parameters as `params_<name>`, empty where a trial has no such parameter."""
    names = _list_parameters(rows)
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        header = ["number", "state", "value", "best_epoch", "duration_s", "reason"]
        writer.writerow([*header, *(f"params_{name}" for name in names)])
        for row in sorted(rows, key=lambda row: row.number):
            facts: list[Value] = [row.number, row.state, row.value, row.best_epoch, row.duration_s, row.reason]
            writer.writerow([*facts, *(row.params.get(name, "") for name in names)])


def write_retrainings_csv(path: Path, retrainings: Sequence[Retraining]) -> None:
    """Write one line a retraining."""
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["number", "retraining", "state", "seed", "value", "epochs", "duration_s", "scores", "reason"])
        for each in retrainings:
            scores = " ".join(map(repr, each.scores))
            line = [each.number, each.name, each.state, each.seed, each.value, each.epochs, each.seconds]
            writer.writerow([*line, scores, each.reason])


def rank_trials(rows: Sequence[PlottedTrial], direction: Direction) -> list[PlottedTrial]:
    """Return the trials by score, the best first; then pruned trials by score, then trials without one by number."""
    sign = -1 if direction == "maximize" else 1
    return sorted(
        rows, key=lambda row: (row.state != "complete", row.value is None, sign * (row.value or 0.0), row.number)
    )


def _render_page(report: StudyReport, plots: Sequence[Path]) -> str:
    # Jinja2 is imported when a study ends, not before one can start.
    from jinja2 import Environment, PackageLoader

    # Escaped, because names and reasons come from study files and user code.
    environment = Environment(loader=PackageLoader("tracking", "reports"), autoescape=True, keep_trailing_newline=True)
    ranked = rank_trials(report.rows, report.direction)
    best = next((row for row in ranked if row.state == "complete" and report.winner in (None, row.number)), None)
    result = "No trial has a score"
    if best is not None and best.value is not None:
        result = f"Best {report.metric}: {best.value:.6g}, trial {best.number}"
    return environment.get_template("study_report.html").render(
        report=report,
        result=result,
        best=best.number if best else None,
        names=_list_parameters(ranked),
        rows=ranked[:_MOST_ROWS],
        omitted=len(ranked) - _MOST_ROWS,
        pictures=[_read_picture(plot) for plot in plots],
    )


def _read_picture(path: Path) -> dict[str, str]:
    title = path.stem.replace("-", " ").capitalize()
    return {"title": title, "data": base64.b64encode(path.read_bytes()).decode()}


def _list_parameters(rows: Sequence[PlottedTrial]) -> list[str]:
    return list(dict.fromkeys(name for row in sorted(rows, key=lambda row: row.number) for name in row.params))
