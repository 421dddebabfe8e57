"""`StudyReader`: studies and trials of a home, as plain values for the interfaces."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from pipelines.baselines.results import Baselines, read_baselines
from pipelines.integrations.oracle_names import read_goal
from pipelines.queries.log_text import describe_study, describe_trial
from pipelines.queries.record_reader import RecordReader, find_winner, load_record
from pipelines.queries.views import BestTrial, ObjectiveName, StudyRow, StudyView, TrialRow
from pipelines.search.space_evolution import read_changes
from pipelines.search.stopping import explain_no_best
from pipelines.search.trial_summaries import (
    TrialSummary,
    count_by_state,
    count_epochs,
    find_best,
    find_pareto_front,
    list_best_so_far,
    summarize_trials,
)
from pipelines.selection.ensemble import explain_ensemble
from pipelines.selection.evaluate import read_test_scores
from pipelines.selection.evaluation_files import describe_forecast
from pipelines.selection.finalists import ENSEMBLE, Finalist, explain_finalists, rank_finalists
from pipelines.selection.model_locations import find_ensemble, find_winning_model, is_ensembled, is_refitted
from pipelines.selection.refit import explain_refit
from pipelines.study.fingerprint import StudyFingerprint
from pipelines.study.objective import Objective
from pipelines.study.stored import read_fingerprint
from pipelines.study.study import Study
from pipelines.supervisor.events import StudyEnded
from pipelines.supervisor.sparkline import sample_curve
from pipelines.training.resource_use import UNKNOWN_USE, sum_use
from pipelines.training.trial_folder import explain_missing_model, locate_model
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError, UnknownError
from tracking.mlflow import urls
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store
from tracking.store.retrainings import Retraining, Retrainings
from tracking.store.study_queue import ENDED_STATES, StudyQueue, StudyRecord

_ENDED = ("complete", "pruned", "failed")
_MOST_CURVE = 60  # points of a curve that is shown in a line


class StudyReader:
    """Reader of a home's studies; changes nothing.

    Args:
        home: the home.
        store: the home's store.
        place: the home's name in errors; its folder by default.
    """

    def __init__(self, home: Home, store: Store, *, place: str = "") -> None:
        self._home = home
        self._store = store
        self._queue = StudyQueue(store)
        self._records = RecordReader(home, store, place=place)

    @classmethod
    def open(cls, home: Home) -> Self:
        """Open a home's store.

        Raises:
            InputError: if there is none; nothing is created.
        """
        # SQLite would create the file, and a misspelt home would look like an empty one.
        if not home.is_initialized:
            raise InputError(f"there are no studies in {home.folder}: run one first, or name another --home")
        return cls(home, Store.open(home.store))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._store.close()

    def list_studies(self, *, archived: bool = False) -> tuple[StudyRow, ...]:
        """Return every study, oldest first; archived ones on request."""
        return tuple(self.make_row(record) for record in self._queue.list(archived=archived))

    def read_study(self, name: str) -> StudyView:
        """Return the state of one study.

        Raises:
            InputError: if there is none of that name.
        """
        record = self._records.find_record(name)
        facts = self._records.collect_facts(record)
        objective = facts.objective
        in_optuna = self._records.load_optuna_study(record)
        trials = summarize_trials(in_optuna) if in_optuna is not None else ()
        best = find_winner(record, trials, objective)
        waiting = Outbox(self._store).read_backlog(facts.mlflow_name)
        baselines = self._read_baselines(record)
        return StudyView(
            name=name,
            state=self._records.derive_state(record),
            reason=self._records.derive_reason(record),
            model=facts.model,
            source=facts.source,
            metric=objective.metric,
            direction=objective.direction,
            budget=facts.budget,
            trials=count_by_state(trials),
            failed_attempts=sum(len(trial.failed_attempts) for trial in trials),
            last_failed_attempt=_describe_last_failure(trials),
            changes=() if in_optuna is None else read_changes(in_optuna),
            best=best.value if best else None,
            best_trial=best.number if best else None,
            best_params=best.params if best else {},
            seconds=record.elapsed_s,
            # Rows that MLflow has refused are set aside, and are not there either.
            waiting_for_mlflow=waiting.pending + waiting.set_aside,
            mlflow_error=waiting.last_error,
            tracking_uri=urls.resolve_tracking_uri(self._home.folder, os.environ),
            folder=self._records.locate_folder(record),
            notes=self._records.read_notes(record),
            baselines=baselines,
            unbeaten=baselines.explain_unbeaten(best.value) if baselines and best else "",
            forecast=self._describe_forecast(record, best),
            epochs=count_epochs(trials),
            archived=record.archived_ms is not None,
            curve=tuple(sample_curve(list_best_so_far(trials, objective), _MOST_CURVE)),
            resources=sum_use(trial.resources for trial in trials),
            best_seconds=best.seconds if best else None,
            best_resources=best.resources if best else UNKNOWN_USE,
        )

    def locate_in_mlflow(self, name: str) -> tuple[str, str]:
        """Return the MLflow experiment that a study is in, and the study's name there.

        Raises:
            UnknownError: if there is no study of that name.
        """
        record = self._records.find_record(name)
        if read_goal(record):
            # The queue's name has a prefix, so that a study file and KerasTuner's own tuner may use one name.
            tuned = record.name.partition("/")[2]
            return tuned, tuned
        spec = load_record(record).spec
        return spec.tracking.experiment or spec.study, spec.study

    def list_in_experiment(self, experiment: str) -> tuple[str, ...]:
        """Return the names of the studies that are recorded in an experiment of MLflow."""
        # By the text first: loading every study of a large home takes seconds.
        text = json.dumps(experiment)
        near = (record for record in self._queue.list() if record.name == experiment or text in record.document)
        return tuple(record.name for record in near if self.locate_in_mlflow(record.name)[0] == experiment)

    def list_trials(self, name: str) -> tuple[TrialRow, ...]:
        """Return a study's trials.

        Raises:
            InputError: if there is no study of that name.
        """
        return tuple(
            TrialRow.from_summary(trial) for trial in self._records.list_trials(self._records.find_record(name))
        )

    def describe_log(self, name: str, number: int | None) -> str:
        """Return what stands in place of a study's log, or of that of its trial's worker, where there is no such file.

        Raises:
            InputError: if there is no such study or trial.
        """
        trials = self.list_trials(name)
        if number is None:
            return describe_study(self.read_study(name), trials)
        self._find_trial(name, number)
        return describe_trial(name, next(trial for trial in trials if trial.number == number))

    def find_best_trial(self, name: str) -> BestTrial:
        """Return a study's best trial.

        Raises:
            InputError: if there is no such study, or none of its trials is complete.
        """
        record = self._records.find_record(name)
        facts = self._records.collect_facts(record)
        objective = facts.objective
        trials = self._records.list_trials(record)
        best = find_winner(record, trials, objective)
        if best is None:
            raise ConflictError(f"{_explain_no_best(record, trials)}; see: kerastudy trials {name}")
        # All that is known of a trial of KerasTuner's own tuner: its files are not in this home.
        found = BestTrial(
            study=name,
            trial=TrialRow.from_summary(best),
            metric=objective.metric,
            direction=objective.direction,
            test={},
            model=self._records.locate_folder(record),
        )
        if read_goal(record):
            return found
        study = load_record(record)
        ensemble = self._find_ensemble(study, best.number)
        folder = Path(find_winning_model(study, self._home, best.number).folder)
        model = locate_model(folder)
        # Empty for one objective, whose front is the best trial.
        pareto_front = find_pareto_front(trials, objective) if objective.goals else []
        finalists = self._list_finalists(study, objective, trials)
        baselines = self._read_baselines(record)
        return replace(
            found,
            test=read_test_scores(study, self._home, best.number),
            model=str(model) if model.exists() else "",
            no_model="" if model.exists() else explain_missing_model(folder),
            finalists=finalists,
            finalists_reason=explain_finalists(Retrainings(self._store).list(study.name), study.spec.selection),
            objectives=tuple(ObjectiveName(goal.name, goal.direction) for goal in objective.goals),
            pareto_front=tuple(map(TrialRow.from_summary, pareto_front)),
            refit=self._is_refit(study, best.number),
            refit_reason=self._explain_refit(study, best.number),
            ensemble=ensemble.value if ensemble else None,
            ensemble_of=ensemble.parts if ensemble else (),
            ensemble_reason=self._explain_ensemble(study, best.number),
            baselines=baselines,
            unbeaten=_explain_unbeaten(baselines, finalists, best.value),
            forecast=describe_forecast(find_winning_model(study, self._home, best.number)),
        )

    def _describe_forecast(self, record: StudyRecord, best: TrialSummary | None) -> str:
        if best is None or read_goal(record):
            return ""
        return describe_forecast(find_winning_model(load_record(record), self._home, best.number))

    def _read_baselines(self, record: StudyRecord) -> Baselines | None:
        # KerasTuner's own tuner keeps its data itself, and has no folder here.
        return None if read_goal(record) else read_baselines(self._home.locate_study(record.name))

    def _list_finalists(
        self, study: Study, objective: Objective, trials: Sequence[TrialSummary]
    ) -> tuple[Finalist, ...]:
        retrainings = Retrainings(self._store).list(study.name)
        return rank_finalists(trials, retrainings, study.spec.selection, objective)

    def _find_ensemble(self, study: Study, number: int) -> Retraining | None:
        if find_ensemble(study, self._home, number) is None:
            return None
        found = Retrainings(self._store).list(study.name)
        return next((each for each in found if (each.number, each.name) == (number, ENSEMBLE)), None)

    def _explain_refit(self, study: Study, number: int) -> str:
        if not study.spec.selection.refit:
            return ""
        found = Retrainings(self._store).list(study.name)
        return explain_refit(found, number, is_refitted=self._is_refit(study, number))

    def _is_refit(self, study: Study, number: int) -> bool:
        return is_refitted(study, self._home, number) and not is_ensembled(study, self._home, number)

    def _explain_ensemble(self, study: Study, number: int) -> str:
        if not study.spec.selection.ensemble:
            return ""
        found = Retrainings(self._store).list(study.name)
        return explain_ensemble(found, number, is_delivered=is_ensembled(study, self._home, number))

    def find_complete_trial(self, name: str, number: int | None) -> int:
        """Return the number of a complete trial: the given one, or the best.

        Raises:
            InputError: if it does not exist or is not complete.
        """
        if number is None:
            return self.find_best_trial(name).trial.number
        trial = self._find_trial(name, number)
        if trial.state != "complete":
            raise ConflictError(f"trial {number} of {name} is {trial.state}: expected a complete one")
        return number

    def find_ended_trial(self, name: str, number: int) -> TrialSummary:
        """Return a trial that is complete, pruned or failed.

        Raises:
            InputError: if it does not exist, has not ended, or was cancelled.
        """
        trial = self._find_trial(name, number)
        if trial.state not in _ENDED:
            raise ConflictError(f"trial {number} of {name} is {trial.state}: expected one that is {', '.join(_ENDED)}")
        return trial

    def _find_trial(self, name: str, number: int) -> TrialSummary:
        trials = {trial.number: trial for trial in self._records.list_trials(self._records.find_record(name))}
        if number not in trials:
            known = f"its trials are {min(trials)} to {max(trials)}" if trials else "it has none yet"
            raise UnknownError(f"{name} has no trial {number}; {known}")
        return trials[number]

    def compute_importances(self, name: str) -> Mapping[str, float]:
        """Return each hyperparameter's importance for a study's score, largest first; empty if it cannot be computed.

        Raises:
            InputError: if there is no study of that name.
        """
        from pipelines.recording.report_content import convert_trials
        from tracking.reports.analysis.importances import compute_importances

        record = self._records.find_record(name)
        objective = self._records.collect_facts(record).objective
        trials = convert_trials(self._records.list_trials(record), objective)
        return compute_importances(trials, (), objective.direction)

    def load_study(self, name: str) -> Study:
        """Return a study as it was submitted.

        Raises:
            InputError: if there is none of that name, or KerasTuner's own tuner searches it.
        """
        return load_record(self._records.find_record(name))

    def read_fingerprint(self, name: str) -> StudyFingerprint | None:
        """Return the fingerprint that a study was submitted with; None for one of KerasTuner's own tuner.

        Raises:
            InputError: if there is no study of that name.
        """
        return read_fingerprint(self._records.find_record(name))

    def read_end(self, name: str) -> StudyEnded:
        """Return the event that ended a finished study, as its supervisor emitted it.

        Raises:
            InputError: if there is no study of that name.
        """
        record = self._records.find_record(name)
        waiting = Outbox(self._store).read_backlog(name)
        study, number = load_record(record), record.winner
        objective = self._records.read_objective(study, record)
        ensemble = None if number is None else self._find_ensemble(study, number)
        finalists = self._list_finalists(study, objective, self._records.list_trials(record))
        baselines = self._read_baselines(record)
        return StudyEnded(
            study=name,
            state="finished",
            reason=record.reason,
            metric=objective.metric,
            winner=number,
            value=record.best_value,
            test={} if number is None else read_test_scores(study, self._home, number),
            # From the record: the event must be the same whenever a finished study is run again.
            trials=record.counts,
            seconds=record.elapsed_s,
            undelivered=waiting.pending + waiting.set_aside,
            undelivered_error=waiting.last_error,
            finalists=finalists,
            refit=number is not None and self._is_refit(study, number),
            refit_reason="" if number is None else self._explain_refit(study, number),
            ensemble=ensemble.value if ensemble else None,
            ensemble_reason="" if number is None else self._explain_ensemble(study, number),
            baselines=baselines,
            unbeaten=_explain_unbeaten(baselines, finalists, record.best_value),
            epochs=count_epochs(self._records.list_trials(record)),
        )

    def make_row(self, record: StudyRecord) -> StudyRow:
        """Return a study as a list shows it."""
        facts = self._records.collect_facts(record)
        # The queue learns of trials when its supervisor stops; until then Optuna knows more.
        trials = self._records.list_trials(record) if record.state == "running" else ()
        best = find_best(trials, facts.objective)
        counts = count_by_state(trials) if trials else record.counts
        return StudyRow(
            name=record.name,
            state=self._records.derive_state(record),
            trials=sum(count for state, count in counts.items() if state not in ("running", "paused")),
            budget=facts.budget,
            metric=facts.objective.metric,
            best=best.value if best else record.best_value,
            best_trial=best.number if best else record.winner,
            archived=record.archived_ms is not None,
            host=record.host,
        )


def _explain_unbeaten(baselines: Baselines | None, finalists: Sequence[Finalist], value: float | None) -> str:
    return baselines.explain_unbeaten(finalists[0].mean if finalists else value) if baselines else ""


def _describe_last_failure(trials: Sequence[TrialSummary]) -> str:
    failed = [(trial.number, trial.failed_attempts[-1].reason) for trial in trials if trial.failed_attempts]
    return f"trial {failed[-1][0]}: {failed[-1][1]}" if failed else ""


def _explain_no_best(record: StudyRecord, trials: Sequence[TrialSummary]) -> str:
    if lacking := explain_no_best(trials):
        return f"{record.name} has no best trial: {lacking}"
    if record.state in ENDED_STATES:
        return f"no trial of {record.name} is complete, and it has ended ({record.state})"
    return f"no trial of {record.name} is complete yet"
