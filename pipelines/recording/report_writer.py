"""Writer of a study's report: its page, its pictures and its tables; loads what estimates importances and draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.recording.provenance import describe_environment
from pipelines.recording.records import StudyOutcome
from pipelines.recording.report_content import collect_report, convert_trials, list_parameters
from pipelines.search.trial_summaries import TrialSummary, find_best
from pipelines.selection.evaluation_files import locate_evaluation
from pipelines.selection.finalists import AUTO
from pipelines.selection.model_locations import find_winning_model
from pipelines.study.context import StudyContext
from tracking.reports.analysis.importances import Importance, estimate_importances
from tracking.reports.content import StudyReport
from tracking.reports.figures.evaluation import draw_evaluation
from tracking.reports.figures.figure import Figure
from tracking.reports.figures.gallery import write_pngs
from tracking.reports.study_report import write_pictures, write_report, write_retrainings_csv
from tracking.store.retrainings import Retraining
from tracking.timings.stopwatch import flush_times, measure_calls


class ReportWriter:
    """Writer of one study's report.

    Args:
        context: the study.
    """

    def __init__(self, context: StudyContext) -> None:
        self._context = context
        self._folder = context.home.locate_report(context.name)
        self._importances: list[Importance] | None = None
        self._painted: Mapping[str, Figure] = {}

    @measure_calls("importances and pictures")
    def prepare(self, trials: Sequence[TrialSummary]) -> None:
        """Do what takes longest once no further trial will end: estimate importances, paint figures."""
        if self._importances is not None:
            return
        objective = self._context.objective
        self._importances = estimate_importances(
            convert_trials(trials, objective), list_parameters(self._context), objective.direction
        )
        # The best trial wins, unless further trainings decide otherwise; figures that change then are painted again.
        expected = StudyOutcome("finished", "", find_best(trials, objective))
        report = collect_report(self._context, trials, expected)
        self._painted = write_pictures(self._folder, report, self._importances)

    @measure_calls("report")
    def write(
        self, trials: Sequence[TrialSummary], outcome: StudyOutcome, retrainings: Sequence[Retraining], seconds: float
    ) -> None:
        """Write the report of a study that ended or was paused after so many seconds of work."""
        flush_times()  # the report reads them
        report = collect_report(self._context, trials, outcome, seconds=seconds)
        self._draw_evaluation(report, outcome)
        write_report(
            self._folder,
            report,
            self._importances,
            version=str(describe_environment().get("kerastudy", "")),
            has_plots=outcome.state in ("finished", "failed"),  # a requested end does not wait for them
            painted=self._painted,
        )
        # The choice of finalists is stored beside the trainings, and is none.
        if trained := [each for each in retrainings if each.name != AUTO]:
            write_retrainings_csv(self._folder / "retrainings.csv", trained)

    def _draw_evaluation(self, report: StudyReport, outcome: StudyOutcome) -> None:
        """Draw what the winner's run shows of its predictions, beside the file that the report has them from."""
        if outcome.best is not None and report.evaluation is not None:
            model = find_winning_model(self._context.study, self._context.home, outcome.best.number)
            figures = {figure.name: figure for figure in draw_evaluation(report.evaluation)}
            write_pngs(figures, locate_evaluation(Path(model.folder)))
