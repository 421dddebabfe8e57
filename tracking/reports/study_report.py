"""A study's report for people: one HTML file that needs nothing beside it, and its trials as CSV.

MLflow shows the file in a sandbox where scripts do not run and relative images break; so there are none.
"""

from __future__ import annotations

import base64
import csv
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from search_spaces.values import Direction, Value
from tracking.reports.plots import Curve, TrialRow, write_study_plots
from tracking.store.retrainings import Retraining

_MOST_ROWS: Final = 200
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.result { font-weight: 600; margin-top: .3rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { text-align: left; padding: 3px 10px; border-bottom: 1px solid #d8dee4; white-space: nowrap; }
th { background: #f6f8fa; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.best td { background: #ddf4ff; } tr.failed td, tr.cancelled td { color: #8c959f; }
img { max-width: 100%; } pre { background: #f6f8fa; padding: 1rem; overflow-x: auto; font-size: 13px; }
"""


@dataclass(frozen=True)
class StudyReport:
    """What a report says.

    Attributes:
        outcome: one line, such as why the study ended.
        rows: the study's trials.
        space: the search space as text.
        facts: named facts on data, search and environment, in the order to show them.
        curves: metrics of each epoch of some trials, by number; the best of them are drawn.
        winner: number of the trial that won, where that is not for its score alone.
        selection: how it was chosen, a line each: trial, mean, interval, scores.
    """

    study: str
    metric: str
    direction: Direction
    outcome: str
    rows: Sequence[TrialRow]
    space: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[int, Curve] = field(default_factory=dict)
    winner: int | None = None
    selection: Sequence[tuple[Value, ...]] = ()


def draw_plots(folder: Path, report: StudyReport) -> tuple[Path, ...]:
    """Draw what a report shows, below `plots/`; return the files in the order to show them."""
    return write_study_plots(
        report.rows, folder / "plots", metric=report.metric, direction=report.direction, curves=report.curves
    )


def write_page(folder: Path, report: StudyReport, plots: Sequence[Path]) -> Path:
    """Write `trials.csv` and, with plots that are drawn already, `report.html`, whose path is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    write_trials_csv(folder / "trials.csv", report.rows)
    page = folder / "report.html"
    page.write_text(_page(report, plots), encoding="utf-8")
    return page


def write_trials_csv(path: Path, rows: Sequence[TrialRow]) -> None:
    """Write one line a trial; parameters as `params_<name>`, empty where a trial does not have them."""
    names = _parameter_names(rows)
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        header = ["number", "state", "value", "best_epoch", "duration_s", "reason"]
        writer.writerow([*header, *(f"params_{name}" for name in names)])
        for row in sorted(rows, key=lambda row: row.number):
            facts: list[Value] = [row.number, row.state, row.value, row.best_epoch, row.duration_s, row.reason]
            writer.writerow([*facts, *(row.params.get(name, "") for name in names)])


def write_retrainings_csv(path: Path, retrainings: Sequence[Retraining]) -> None:
    """Write one line a further training of a trial."""
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(["number", "retraining", "state", "seed", "value", "epochs", "duration_s", "scores", "reason"])
        for each in retrainings:
            scores = " ".join(map(repr, each.scores))
            line = [each.number, each.name, each.state, each.seed, each.value, each.epochs, each.seconds]
            writer.writerow([*line, scores, each.reason])


def rank_trials(rows: Sequence[TrialRow], direction: Direction) -> list[TrialRow]:
    """Return trials by score, the best first; pruned ones follow by theirs, then those without one by number."""
    sign = -1 if direction == "maximize" else 1
    return sorted(
        rows, key=lambda row: (row.state != "complete", row.value is None, sign * (row.value or 0.0), row.number)
    )


def _page(report: StudyReport, plots: Sequence[Path]) -> str:
    ranked = rank_trials(report.rows, report.direction)
    best = next((row for row in ranked if row.state == "complete" and report.winner in (None, row.number)), None)
    result = "No trial has a score"
    if best is not None and best.value is not None:
        result = f"Best {report.metric}: {best.value:.6g}, trial {best.number}"
    parts = [
        f"<h1>Study {_text(report.study)}</h1>",
        f'<p class="result">{_text(result)}</p><p>{_text(report.outcome)}</p>',
        f"<h2>How the winner was chosen</h2>{_selection(report)}" if report.selection else "",
        f"<h2>Leaderboard</h2>{_table(ranked, report.metric, best.number if best else None)}",
        *(_picture(plot) for plot in plots),
        f"<h2>Search space</h2><pre>{_text(report.space)}</pre>" if report.space else "",
        f"<h2>Facts</h2>{_facts(report.facts)}" if report.facts else "",
    ]
    head = f'<meta charset="utf-8"><title>{_text(report.study)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _selection(report: StudyReport) -> str:
    head = "".join(f"<th>{title}</th>" for title in ("trial", "mean", "from", "to", "each training"))
    body = "".join(
        f'<tr class="{"best" if rank == 0 else ""}">{"".join(map(_cell, line))}</tr>'
        for rank, line in enumerate(report.selection)
    )
    about = f"Mean of {_text(report.metric)} over further trainings, with the 95 % confidence interval of the mean."
    return f'<p>{about}</p><div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _table(ranked: Sequence[TrialRow], metric: str, best: int | None) -> str:
    names = _parameter_names(ranked)
    titles = ["trial", metric, "state", "best epoch", "seconds", *names, "reason"]
    head = "".join(f"<th>{_text(title)}</th>" for title in titles)
    body = "".join(_line(row, names, is_best=row.number == best) for row in ranked[:_MOST_ROWS])
    left = len(ranked) - _MOST_ROWS
    more = f"<p>{left} more trials are in trials.csv.</p>" if left > 0 else ""
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>{more}'


def _line(row: TrialRow, names: Sequence[str], *, is_best: bool) -> str:
    kind = "best" if is_best and row.value is not None else row.state
    seconds = None if row.duration_s is None else round(row.duration_s, 1)
    cells = [_cell(row.number), _cell(row.value), _cell(row.state), _cell(row.best_epoch), _cell(seconds)]
    cells += [_cell(row.params[name]) if name in row.params else "<td></td>" for name in names]
    return f'<tr class="{kind}">{"".join(cells)}{_cell(row.reason)}</tr>'


def _cell(value: Value) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{_text(str(value))}</td>"
    return f'<td class="number">{value if isinstance(value, int) else format(value, ".6g")}</td>'


def _picture(path: Path) -> str:
    title = path.stem.replace("-", " ").capitalize()
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<h2>{_text(title)}</h2><img alt="{_text(title)}" src="data:image/png;base64,{data}">'


def _facts(facts: Mapping[str, str]) -> str:
    lines = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts.items())
    return f'<div class="scroll"><table>{lines}</table></div>'


def _parameter_names(rows: Sequence[TrialRow]) -> list[str]:
    return list(dict.fromkeys(name for row in sorted(rows, key=lambda row: row.number) for name in row.params))


def _text(text: str) -> str:
    return html.escape(text, quote=True)
