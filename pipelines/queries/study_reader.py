"""Reading what is known of studies and trials, as plain values for the doors."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipelines.data.source_paths import list_source_files
from pipelines.integrations.oracle_records import goal_of
from pipelines.queries.views import BestTrial, ObjectiveName, StudyRow, StudyView, TrialRow
from pipelines.search.optuna_search import TrialSummary, best_of, count_by_state, find_pareto_front, summarize_trials
from pipelines.search.space_evolution import changes_of, current_name
from pipelines.selection.finalists import ENSEMBLE, Finalist, finalists_of
from pipelines.selection.model_locations import ensemble_of, handed_over, is_refitted, test_scores
from pipelines.study.fingerprint import StudyFingerprint
from pipelines.study.objective import Objective
from pipelines.study.stored import find_known_study, is_unchecked, load_stored_study, read_fingerprint, serialize_study
from pipelines.study.study import Study
from pipelines.supervisor.events import StudyEnded
from pipelines.training.trial_folder import MODEL_FILE
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError, UnknownError, suggest_choice
from tracking.mlflow import urls
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store
from tracking.store.retrainings import Retraining, Retrainings
from tracking.store.study_queue import StudyQueue, StudyRecord

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage


@dataclass(frozen=True)
class _StudyFacts:
    """What there is to know of a study before its trials.

    Attributes:
        mlflow_name: what MLflow and the outbox call it.
    """

    model: str
    source: str
    objective: Objective
    budget: int
    mlflow_name: str


_STUDIES_AT_HAND = 16
_ENDED = ("complete", "pruned", "failed")
_OF_THE_TUNER = "of KerasTuner's own tuner"


class StudyReader:
    """Reads a home's store; changes nothing.

    Args:
        place: what the home is called where a study is not in it; its folder if left out.
    """

    def __init__(self, home: Home, store: Store, *, place: str = "") -> None:
        self._home = home
        self._place = place or str(home.folder)
        self._store = store
        self._queue = StudyQueue(store)
        # Optuna reads a trial that is over once for each study object, and then the ones that still change.
        self._load = lru_cache(_STUDIES_AT_HAND)(self._load_from_optuna)

    @classmethod
    def open(cls, home: Home) -> Self:
        """Open a home's store.

        Raises:
            InputError: if there is none; nothing is created.
        """
        if not home.is_begun:
            raise InputError(f"there are no studies in {home.folder}: run one first, or name another --home")
        return cls(home, Store.open(home.store))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._store.close()

    def list_studies(self) -> tuple[StudyRow, ...]:
        """Return every study, oldest first."""
        return tuple(self.make_row(record) for record in self._queue.list())

    def read_study(self, name: str) -> StudyView:
        """Return one study.

        Raises:
            InputError: if there is none of that name.
        """
        record = self._find_record(name)
        facts = self._collect_facts(record)
        objective = facts.objective
        in_optuna = self._load_optuna_study(record)
        trials = summarize_trials(in_optuna) if in_optuna is not None else ()
        best = _find_winner(record, trials, objective)
        waiting = Outbox(self._store).read_backlog(facts.mlflow_name)
        return StudyView(
            name=name,
            state=self._derive_state(record),
            reason=self._derive_reason(record),
            model=facts.model,
            source=facts.source,
            metric=objective.metric,
            direction=objective.direction,
            budget=facts.budget,
            trials=count_by_state(trials),
            failed_attempts=sum(len(trial.failed_attempts) for trial in trials),
            last_failed_attempt=_describe_last_failure(trials),
            changes=() if in_optuna is None else changes_of(in_optuna),
            best=best.value if best else None,
            best_trial=best.number if best else None,
            best_params=best.params if best else {},
            seconds=record.elapsed_s,
            waiting_for_mlflow=waiting.pending + waiting.set_aside,
            mlflow_error=waiting.last_error,
            tracking_uri=urls.resolve_tracking_uri(self._home.folder, os.environ),
            folder=self._locate_folder(record),
        )

    def locate_in_mlflow(self, name: str) -> tuple[str, str]:
        """Return the MLflow experiment that a study is in, and the study's name there.

        Raises:
            UnknownError: if there is no study of that name.
        """
        record = self._find_record(name)
        if goal_of(record):
            tuned = record.name.partition("/")[2]
            return tuned, tuned
        spec = load_record(record).spec
        return spec.tracking.experiment or spec.study, spec.study

    def list_trials(self, name: str) -> tuple[TrialRow, ...]:
        """Return a study's trials.

        Raises:
            InputError: if there is no study of that name.
        """
        return tuple(make_trial_row(trial) for trial in self._list_trials(self._find_record(name)))

    def find_best_trial(self, name: str) -> BestTrial:
        """Return a study's best trial.

        Raises:
            InputError: if there is no such study, or none of its trials is complete.
        """
        record = self._find_record(name)
        facts = self._collect_facts(record)
        objective = facts.objective
        trials = self._list_trials(record)
        best = _find_winner(record, trials, objective)
        if best is None:
            raise ConflictError(f"no trial of {name} is complete yet; see: kerastudy trials {name}")
        found = BestTrial(
            study=name,
            trial=make_trial_row(best),
            metric=objective.metric,
            direction=objective.direction,
            test={},
            model=self._locate_folder(record),
        )
        if goal_of(record):
            return found
        study = load_record(record)
        ensemble = self._find_ensemble(study, best.number)
        return replace(
            found,
            test=test_scores(study, self._home, best.number),
            model=str(Path(handed_over(study, self._home, best.number).folder) / MODEL_FILE),
            finalists=self._list_finalists(study, objective, trials),
            objectives=tuple(ObjectiveName(goal.name, goal.direction) for goal in objective.goals),
            pareto_front=tuple(map(make_trial_row, find_pareto_front(trials, objective))) if objective.goals else (),
            refit=is_refitted(study, self._home, best.number),
            ensemble=ensemble.value if ensemble else None,
            ensemble_of=ensemble.parts if ensemble else (),
        )

    def _list_finalists(
        self, study: Study, objective: Objective, trials: Sequence[TrialSummary]
    ) -> tuple[Finalist, ...]:
        retrainings = Retrainings(self._store).list(study.name)
        return finalists_of(trials, retrainings, study.spec.selection, objective)

    def _find_ensemble(self, study: Study, number: int) -> Retraining | None:
        if ensemble_of(study, self._home, number) is None:
            return None
        found = Retrainings(self._store).list(study.name)
        return next((each for each in found if (each.number, each.name) == (number, ENSEMBLE)), None)

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
        """Return a trial that has come to its own end: complete, pruned or failed.

        Raises:
            InputError: if it does not exist, has not ended, or was cancelled.
        """
        trial = self._find_trial(name, number)
        if trial.state not in _ENDED:
            raise ConflictError(f"trial {number} of {name} is {trial.state}: expected one that is {', '.join(_ENDED)}")
        return trial

    def _find_trial(self, name: str, number: int) -> TrialSummary:
        trials = {trial.number: trial for trial in self._list_trials(self._find_record(name))}
        if number not in trials:
            known = f"its trials are {min(trials)} to {max(trials)}" if trials else "it has none yet"
            raise UnknownError(f"{name} has no trial {number}; {known}")
        return trials[number]

    def compute_importances(self, name: str) -> Mapping[str, float]:
        """Return each parameter's share in what made a study's trials good, largest first; empty where unknown.

        Raises:
            InputError: if there is no study of that name.
        """
        from tracking.reports.plots import TrialRow as StudiedTrial
        from tracking.reports.plots import importances

        record = self._find_record(name)
        told = [
            StudiedTrial(trial.number, "complete", trial.value, trial.params)
            for trial in self._list_trials(record)
            if trial.state == "complete"
        ]
        return importances(told, direction=self._collect_facts(record).objective.direction)

    def load_study(self, name: str) -> Study:
        """Return a study as it was submitted.

        Raises:
            InputError: if there is none of that name, or KerasTuner's own tuner searches it.
        """
        return load_record(self._find_record(name))

    def read_fingerprint(self, name: str) -> StudyFingerprint | None:
        """Return the fingerprint that a study was submitted with; None for one of KerasTuner's own tuner.

        Raises:
            InputError: if there is no study of that name.
        """
        return read_fingerprint(self._find_record(name))

    def read_end(self, name: str) -> StudyEnded:
        """Return how a finished study ended, as its supervisor said it.

        Raises:
            InputError: if there is no study of that name.
        """
        record = self._find_record(name)
        waiting = Outbox(self._store).read_backlog(name)
        study, number = load_record(record), record.winner
        objective = self._read_objective(study, record)
        ensemble = None if number is None else self._find_ensemble(study, number)
        return StudyEnded(
            study=name,
            state="finished",
            reason=record.reason,
            metric=objective.metric,
            winner=number,
            value=record.best_value,
            test={} if number is None else test_scores(study, self._home, number),
            trials=record.counts,
            seconds=record.elapsed_s,
            undelivered=waiting.pending + waiting.set_aside,
            undelivered_error=waiting.last_error,
            finalists=self._list_finalists(study, objective, self._list_trials(record)),
            refit=number is not None and is_refitted(study, self._home, number),
            ensemble=ensemble.value if ensemble else None,
        )

    def _derive_state(self, record: StudyRecord) -> str:
        """Return a study's state; nobody could write down that its supervisor was killed."""
        was_killed = record.state == "running" and record.holder is None
        return "interrupted" if was_killed else record.state

    def _derive_reason(self, record: StudyRecord) -> str:
        was_killed = self._derive_state(record) == "interrupted"
        return f"nobody works on it; kerastudy resume {record.name} goes on" if was_killed else record.reason

    def _find_record(self, name: str) -> StudyRecord:
        record = self._queue.find(name)
        if record is None:
            hint = suggest_choice(name, [each.name for each in self._queue.list()])
            raise UnknownError(f'there is no study "{name}" in {self._place}; {hint}')
        return record

    def make_row(self, record: StudyRecord) -> StudyRow:
        """Return a study as a list shows it."""
        facts = self._collect_facts(record)
        # The queue learns of trials when its supervisor stops; until then Optuna knows more.
        trials = self._list_trials(record) if record.state == "running" else ()
        best = best_of(trials, facts.objective)
        counts = count_by_state(trials) if trials else record.counts
        return StudyRow(
            name=record.name,
            state=self._derive_state(record),
            trials=sum(count for state, count in counts.items() if state != "running"),
            budget=facts.budget,
            metric=facts.objective.metric,
            best=best.value if best else record.best_value,
            best_trial=best.number if best else record.winner,
        )

    def _list_trials(self, record: StudyRecord) -> tuple[TrialSummary, ...]:
        study = self._load_optuna_study(record)
        return () if study is None else summarize_trials(study)

    def _load_optuna_study(self, record: StudyRecord) -> optuna.Study | None:
        """Return the study in Optuna; None for one that was submitted and has not begun."""
        if is_unchecked(record):
            return None
        try:
            return self._load(current_name(self._optuna, record.name))
        except KeyError:
            return None

    def _load_from_optuna(self, name: str) -> optuna.Study:
        import optuna

        return optuna.load_study(study_name=name, storage=self._optuna)

    @cached_property
    def _optuna(self) -> RDBStorage:
        return self._store.open_optuna_storage()

    def _collect_facts(self, record: StudyRecord) -> _StudyFacts:
        if goal := goal_of(record):
            return _StudyFacts(_OF_THE_TUNER, _OF_THE_TUNER, *goal, record.name.partition("/")[2])
        study = load_record(record)
        spec = study.spec
        return _StudyFacts(
            spec.model, spec.data.source, self._read_objective(study, record), spec.budget.trials, record.name
        )

    def _locate_folder(self, record: StudyRecord) -> str:
        return _OF_THE_TUNER if goal_of(record) else str(self._home.study(record.name))

    def _read_objective(self, study: Study, record: StudyRecord) -> Objective:
        """Return what a study is scored on; of one whose data nobody has read yet, what its file says of it."""
        if is_unchecked(record):
            written = study.spec.score_objective
            return study.user_objective or Objective(
                written.metric if written else "", (written.direction if written else None) or "minimize"
            )
        file = self._home.data(study.name) / "summary.json"
        if not file.exists():
            raise InputError(f"{file.parent} is gone: name the --home that {study.name} was run with")
        return study.resolve_objective(json.loads(file.read_text(encoding="utf-8"))["task"]["kind"])


def find_finished(study: Study, home: Home, *, evolve: bool = False) -> StudyEnded | None:
    """Return how a study ended if running it again has nothing to do; None if it may have.

    Decided without reading the data: its files are those that were read if none is newer.

    Raises:
        InputError: if the study is known and searches something else.
    """
    known = find_known_study(study, home, evolve=evolve)
    if known is None or known.state != "finished" or sum(known.counts.values()) < study.spec.budget.trials:
        return None
    prepared = home.data(study.name) / "summary.json"
    if known.document != serialize_study(study) or not prepared.exists():
        return None
    if any(file.stat().st_mtime > prepared.stat().st_mtime for file in list_source_files(study.spec.data, study.base)):
        return None
    with StudyReader.open(home) as reader:
        return reader.read_end(study.name)


def load_record(record: StudyRecord) -> Study:
    """Return the study that a record holds.

    Raises:
        InputError: if KerasTuner's own tuner searches it, which keeps data and models itself.
    """
    if goal_of(record):
        raise InputError(
            f"{record.name} is searched by KerasTuner's own tuner, which keeps its data and models itself: take "
            "tuner.get_best_models()"
        )
    return load_stored_study(record)


def _find_winner(record: StudyRecord, trials: Sequence[TrialSummary], objective: Objective) -> TrialSummary | None:
    """Return the trial that won a finished study, which need not be the best of its search; else the best so far."""
    if record.state == "finished":
        for trial in trials:
            if trial.number == record.winner:
                return trial
    return best_of(trials, objective)


def _describe_last_failure(trials: Sequence[TrialSummary]) -> str:
    failed = [(trial.number, trial.failed_attempts[-1].reason) for trial in trials if trial.failed_attempts]
    return f"trial {failed[-1][0]}: {failed[-1][1]}" if failed else ""


def make_trial_row(trial: TrialSummary) -> TrialRow:
    return TrialRow(
        number=trial.number,
        state=trial.state,
        values=trial.values,
        params=trial.params,
        best_epoch=trial.best_epoch,
        seconds=trial.seconds,
        reason=trial.reason,
        metrics=trial.metrics,
        failed_attempts=tuple(attempt.reason for attempt in trial.failed_attempts),
    )
