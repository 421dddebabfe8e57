"""Rendering of pages: Jinja2's templates with all text escaped, and a script that the page admits by its digest."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from search_spaces.safe_text import escape_controls
from tracking.reports.content import ReportTrial, StudyReport
from tracking.reports.figures.figure import Figure, Panel
from tracking.reports.figures.scale import format_number
from tracking.reports.figures.svg import render_legend, render_panel, render_style

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent / "templates"


def render_page(template: str, pointed: Mapping[str, Any], **values: object) -> str:
    """Return a page as one text that needs no other file.

    Args:
        template: name of the template.
        pointed: what the script shows of the trials that one points at; see `describe_pointed`.
        **values: names of the template.
    """
    script = (_FOLDER / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = f"{render_style()}\n{(_FOLDER / 'report.css').read_text(encoding='utf-8')}"
    page = _load_environment().get_template(template).render(
        **values, pointed=pointed, style=Markup(style), script=Markup(script), script_digest=digest
    )  # fmt: skip
    # Of the whole page at once, so that no text of others is missed.
    return escape_controls(page, keep="\n")


def describe_pointed(report: StudyReport, drawn: set[int], names: list[str]) -> dict[str, Any]:
    """Return what the page's script needs of the trials in its figures."""
    return {
        "metric": report.metric,
        "sign": report.sign,
        "names": names,
        "rows": {trial.number: _describe_trial(trial, names) for trial in report.trials if trial.number in drawn},
    }


def _describe_trial(trial: ReportTrial, names: list[str]) -> dict[str, Any]:
    raw = {name: _plain(trial.params[name]) for name in names if name in trial.params}
    shown = {name: format_number(value) if isinstance(value, int | float) else value for name, value in raw.items()}
    score = None if trial.score is None else float(f"{trial.score:.6g}")
    return {"state": trial.state, "score": score, "params": shown, "raw": raw}


def _plain(value: object) -> float | str:
    """Return a value as the script compares it: numbers as numbers, all else as text."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


@cache
def _load_environment() -> Environment:
    # Jinja2 is imported when a study ends, not before one can start.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Escaped, because names and reasons come from study files and user code.
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": format_number, "legend": render_legend, "svg": _render_svg}
    return environment


def _render_svg(panel: Panel, figure: Figure) -> Markup:
    name = f"{figure.title}, {panel.title}" if panel.title else figure.title
    axes = " against ".join(filter(None, (panel.y.title, panel.x.title)))
    return render_panel(panel, f"{name}: {axes}. {figure.summary}" if axes else f"{name}. {figure.summary}")
