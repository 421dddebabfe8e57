"""Report of a study as a file, and its figures for notebooks."""

from __future__ import annotations

import importlib.metadata
import time
from dataclasses import dataclass
from pathlib import Path

from pipelines.queries.report_reader import ReportReader
from pipelines.queries.study_reader import StudyReader
from pipelines.workspace.atomic_files import write_text
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError
from tracking.reports.content import StudyReport
from tracking.reports.figures.figure import Figure
from tracking.store.database import Store

_MARK = '<meta name="generator" content="kerastudy">'
_MARK_WITHIN = 1000


@dataclass(frozen=True)
class ReportResult:
    """Report that was written.

    Attributes:
        file: the page.
        bytes: its size.
    """

    study: str
    file: str
    bytes: int


def write_report(home: Home, study: str, target: Path) -> ReportResult:
    """Write the report of a study to one HTML file; an earlier report there is replaced.

    Raises:
        InputError: if there is no such study, or the file's folder does not exist.
        ConflictError: if another file is there.
    """
    return save_page(study, render_study_report(read_report(home, study)), target)


def read_report(home: Home, study: str) -> StudyReport:
    """Return the content of a study's report.

    Raises:
        InputError: if there is no such study.
    """
    with StudyReader.open(home):  # an error for a home without studies
        pass
    with Store.open(home.store) as store:
        return ReportReader(home, store).read(study)


def render_study_report(report: StudyReport) -> str:
    """Return the page of a report."""
    from tracking.reports.study_report import render_report  # Jinja2 and Optuna take a second

    written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return render_report(report, version=importlib.metadata.version("kerastudy"), written=written)


def draw_study_figures(home: Home, study: str) -> dict[str, Figure]:
    """Return the figures of a study by their names, such as `optimization-history`; a notebook shows each.

    Raises:
        InputError: if there is no such study.
    """
    from tracking.reports.figures.gallery import draw_figures

    return draw_figures(read_report(home, study))


def save_page(study: str, page: str, target: Path) -> ReportResult:
    """Write a page to a file, atomically.

    Raises:
        InputError: if the file's folder does not exist.
        ConflictError: if a file is there that is no report.
    """
    check_report_target(target)
    write_text(target, page)
    return ReportResult(study, str(target), len(page.encode()))


def check_report_target(target: Path) -> None:
    """Check that a report may be written to a file: it is not there yet, or is an earlier report.

    Raises:
        InputError: if it is a folder, or its folder does not exist.
        ConflictError: if it is another file.
    """
    if target.is_dir():
        raise InputError(f"--to {target}: expected a file, got a folder; write {target / 'report.html'}")
    if not target.absolute().parent.is_dir():
        raise InputError(f"--to {target}: there is no folder {target.absolute().parent}; create it first")
    if target.exists():
        with target.open(encoding="utf-8", errors="replace") as file:
            if _MARK not in file.read(_MARK_WITHIN):
                raise ConflictError(f"--to {target}: the file is there, and is no report; choose another name")
