"""Comparison of studies: what each searched and found, and their winners on the same rows."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path

from pipelines.data.prepared_folder import load_summary
from pipelines.engines.base import Engine, Job
from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import JobError, run_job
from pipelines.export.compare_models import ComparisonJob, ModelComparison
from pipelines.export.jobs import COMPARE_MODELS
from pipelines.operations.report import ReportResult, read_report, save_page
from pipelines.queries.study_reader import StudyReader
from pipelines.selection.model_locations import find_winning_model
from pipelines.training.messages import PastTrial
from pipelines.training.trial_folder import MODEL_FILE, explain_missing_model, has_model
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.reports.comparison import SharedScores, StudyComparison
from tracking.reports.content import StudyReport

_SEEN = "its own split differs: it may have been trained on some of these rows"


def compare_studies(
    home: Home,
    names: Sequence[str],
    *,
    engine: Engine | None = None,
    report: Callable[[str], None] = lambda step: None,
) -> StudyComparison:
    """Return studies side by side.

    Winners of the same data and split have scores on the same test rows already. Others are scored on the test rows of
    the first study by a worker, as far as their models take its columns.

    Args:
        home: the home of the studies.
        names: two studies or more.
        engine: runs the jobs that load models; a new engine if None.
        report: is called with each step that takes long.

    Raises:
        InputError: if there is no such study, or only one is named.
    """
    if len(dict.fromkeys(names)) < 2:
        raise InputError("expected two studies or more to compare")
    reports = [read_report(home, name) for name in dict.fromkeys(names)]
    return StudyComparison(reports, _score_together(home, reports, engine, report))


def write_comparison(comparison: StudyComparison, target: Path) -> ReportResult:
    """Write the page of a comparison to one HTML file.

    Raises:
        InputError: if the file's folder does not exist.
        ConflictError: if a file is there that is no report.
    """
    return save_page(", ".join(comparison.names), render_comparison_page(comparison), target)


def render_comparison_page(comparison: StudyComparison) -> str:
    """Return the page of a comparison."""
    from tracking.reports.comparison_page import render_comparison  # Jinja2 takes a moment

    written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return render_comparison(comparison, version=importlib.metadata.version("kerastudy"), written=written)


def _score_together(
    home: Home, reports: Sequence[StudyReport], engine: Engine | None, report: Callable[[str], None]
) -> SharedScores | None:
    first = reports[0]
    metric = f"test_{first.metric.removeprefix('val_')}"
    rows = first.data.part_rows.get("test", 0)
    if not first.digest or first.winner is None:
        return None
    if all(each.digest == first.digest for each in reports) and rows:
        scores = {each.study: each.test[metric] for each in reports if metric in each.test}
        notes = {each.study: f"it has no {metric}" for each in reports if metric not in each.test}
        return SharedScores(first.study, "test", rows, metric, scores, notes) if scores else None
    own = _find_model(home, first)
    if isinstance(own, str):
        return None
    with nullcontext(engine) if engine else closing(LocalEngine(1)) as used:
        return _score_rivals(home, reports, own, used, report)


def _score_rivals(
    home: Home, reports: Sequence[StudyReport], own: PastTrial, engine: Engine, report: Callable[[str], None]
) -> SharedScores | None:
    """Return the scores of all winners on the held-out rows of the first study."""
    first, scores, notes = reports[0], dict[str, float](), dict[str, str]()
    found: ModelComparison | None = None
    for each in reports[1:]:
        rival = _find_model(home, each)
        if isinstance(rival, str):
            notes[each.study] = rival
            continue
        report(f"scoring the winner of {each.study} on the rows of {first.study}")
        file = Path(rival.folder) / MODEL_FILE
        if not file.exists():
            notes[each.study] = f"its model file is not written: kerastudy export {each.study} writes it"
            continue
        payload = ComparisonJob(own, None, str(file), _describe_task(rival))
        job = Job(f"compare-{each.study}", COMPARE_MODELS, payload, Path(own.folder) / "compare.log", fresh=True)
        try:
            found = run_job(engine, job)
        except JobError as error:
            notes[each.study] = str(error)
            continue
        if found.metric in found.scores:
            scores[first.study] = found.scores[found.metric]
        if found.metric in found.rival_scores:
            scores[each.study] = found.rival_scores[found.metric]
            notes[each.study] = "" if each.digest == first.digest else _SEEN
        else:
            notes[each.study] = found.incompatibility or "it has no score on these rows"
    if found is None:
        return None
    return SharedScores(first.study, found.part, found.rows, found.metric, scores, notes)


def _describe_task(trial: PastTrial) -> dict[str, object]:
    """Return the task of a trial's data in the form that models have in their metadata."""
    return load_summary(Path(trial.data)).task.to_metadata()


def _find_model(home: Home, report: StudyReport) -> PastTrial | str:
    """Return the delivered model of a study, or the reason why there is none to score."""
    if report.winner is None:
        return "no trial is complete"
    with StudyReader.open(home) as reader:
        try:
            study = reader.load_study(report.study)
        except InputError as error:
            return str(error)
    trial = find_winning_model(study, home, report.winner)
    folder = Path(trial.folder)
    if not has_model(folder):
        return f"it has no model: {explain_missing_model(folder)}"
    return trial
