"""`ReportReader`: the content of the report of any study of a home, whatever its state."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.data.prepared_folder import load_summary
from pipelines.integrations.oracle_names import read_goal
from pipelines.queries.record_reader import RecordReader, load_record
from pipelines.recording.backfill import find_outcome
from pipelines.recording.report_content import collect_report, convert_parameter, convert_trials
from pipelines.search.trial_summaries import TrialSummary, find_best
from pipelines.study.context import StudyContext
from pipelines.study.objective import Objective
from pipelines.study.study import Study
from pipelines.workspace.home import Home
from search_spaces.yaml_writer import to_yaml
from tracking.reports.content import ReportParameter, ReportTrial, StudyReport
from tracking.store.database import Store
from tracking.store.retrainings import Retrainings
from tracking.store.study_queue import StudyRecord


class ReportReader:
    """Reader of what the reports of a home's studies show; changes nothing.

    Args:
        home: the home.
        store: the home's store.
        place: the home's name in errors; its folder by default.
    """

    def __init__(self, home: Home, store: Store, *, place: str = "") -> None:
        self._home = home
        self._store = store
        self._records = RecordReader(home, store, place=place)

    def read(self, name: str) -> StudyReport:
        """Return the content of a study's report.

        Raises:
            UnknownError: if there is no study of that name.
        """
        record = self._records.find_record(name)
        trials = self._records.list_trials(record)
        if goal := read_goal(record):
            return self._read_of_tuner(record, trials, goal[0], goal[1])
        study = load_record(record)
        if not (self._home.locate_data(name) / "summary.json").exists():
            return self._read_without_data(record, study)
        context = StudyContext.from_study(study, load_summary(self._home.locate_data(name)), self._home)
        outcome = find_outcome(context, record, trials, Retrainings(self._store).list(name))
        return collect_report(
            context,
            trials,
            outcome,
            state=self._records.derive_state(record),
            reason=self._records.derive_reason(record),
            seconds=record.elapsed_s,
        )

    def _read_without_data(self, record: StudyRecord, study: Study) -> StudyReport:
        """Return the report of a study that waits, or whose data could not be used."""
        written = study.spec.score_objective
        objective = study.user_objective or Objective(
            written.metric if written else "the score", (written.direction if written else None) or "minimize"
        )
        return StudyReport(
            study=study.name,
            metric=objective.metric,
            direction=objective.direction,
            state=self._records.derive_state(record),
            reason=self._records.derive_reason(record),
            parameters=[convert_parameter(each) for each in study.space.declared],
            model=study.spec.model,
            source=study.spec.data.describe_source(),
            budget=study.spec.budget.trials,
            space=to_yaml(study.space.to_dict()),
        )

    def _read_of_tuner(
        self, record: StudyRecord, trials: Sequence[TrialSummary], objective: Objective, budget: int
    ) -> StudyReport:
        """Return the report of a study of KerasTuner's own tuner, which keeps data and models itself."""
        best = find_best(trials, objective)
        converted = convert_trials(trials, objective)
        return StudyReport(
            study=record.name,
            metric=objective.metric,
            direction=objective.direction,
            state=self._records.derive_state(record),
            reason=self._records.derive_reason(record),
            trials=converted,
            parameters=_infer_parameters(converted),
            winner=best.number if best else None,
            model=self._records.collect_facts(record).model,
            budget=budget,
            seconds=record.elapsed_s or None,
        )


def _infer_parameters(trials: Sequence[ReportTrial]) -> list[ReportParameter]:
    """Return hyperparameters by the values that were tried: their ranges are known to the tuner alone."""
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    return [ReportParameter(name) for name in names]
