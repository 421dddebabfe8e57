"""Reading what is known of studies and trials, as plain values for the doors."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipelines.data.source_paths import source_files
from pipelines.integrations.oracle_records import goal_of
from pipelines.operations.submit import is_unseen, known_study, written_document
from pipelines.queries.views import BestTrial, ObjectiveName, StudyRow, StudyView, TrialRow
from pipelines.search.optuna_search import Scored, best_of, count_by_state, front, scored_trials
from pipelines.search.space_evolution import changes_of, current_name
from pipelines.selection.finalists import ENSEMBLE, Finalist, finalists_of
from pipelines.selection.model_locations import ensemble_of, handed_over, is_refitted, test_scores
from pipelines.study.load import Objective, Study, check_document
from pipelines.supervisor.events import StudyEnded
from pipelines.training.messages import MODEL_FILE
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, InputError, UnknownError, nearest
from search_spaces.yaml_document import parse_document
from tracking.mlflow import urls
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store
from tracking.store.retrainings import Execution, Executions
from tracking.store.study_queue import StudyQueue, StudyRecord

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage


@dataclass(frozen=True)
class _About:
    """What there is to know of a study before its trials.

    Attributes:
        in_mlflow: what MLflow and the outbox call it.
    """

    model: str
    source: str
    objective: Objective
    budget: int
    in_mlflow: str


_STUDIES_AT_HAND = 16
_ENDED = ("complete", "pruned", "failed")
_OF_THE_TUNER = "of KerasTuner's own tuner"


class Lookup:
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

    def studies(self) -> tuple[StudyRow, ...]:
        """Return every study, oldest first."""
        return tuple(self.row(record) for record in self._queue.list())

    def study(self, name: str) -> StudyView:
        """Return one study.

        Raises:
            InputError: if there is none of that name.
        """
        record = self._record(name)
        about = self._about(record)
        objective = about.objective
        in_optuna = self._in_optuna(record)
        trials = scored_trials(in_optuna) if in_optuna is not None else ()
        best = _winner(record, trials, objective)
        waiting = Outbox(self._store).waiting(about.in_mlflow)
        return StudyView(
            name=name,
            state=self._state(record),
            reason=self._reason(record),
            model=about.model,
            source=about.source,
            metric=objective.metric,
            direction=objective.direction,
            budget=about.budget,
            trials=count_by_state(trials),
            failed_attempts=sum(len(trial.failed_attempts) for trial in trials),
            last_failed_attempt=_last_failed_attempt(trials),
            changes=() if in_optuna is None else changes_of(in_optuna),
            best=best.value if best else None,
            best_trial=best.number if best else None,
            best_params=best.params if best else {},
            seconds=record.elapsed_s,
            waiting_for_mlflow=waiting.pending + waiting.parked,
            mlflow_error=waiting.last_error,
            tracking_uri=urls.resolve(self._home.folder, os.environ),
            folder=self._folder(record),
        )

    def in_mlflow(self, name: str) -> tuple[str, str]:
        """Return the MLflow experiment that a study is in, and the study's name there.

        Raises:
            UnknownError: if there is no study of that name.
        """
        record = self._record(name)
        if goal_of(record):
            tuned = record.name.partition("/")[2]
            return tuned, tuned
        spec = loaded(record).spec
        return spec.tracking.experiment or spec.study, spec.study

    def trials(self, name: str) -> tuple[TrialRow, ...]:
        """Return a study's trials.

        Raises:
            InputError: if there is no study of that name.
        """
        return tuple(_trial_row(trial) for trial in self._trials(self._record(name)))

    def best(self, name: str) -> BestTrial:
        """Return a study's best trial.

        Raises:
            InputError: if there is no such study, or none of its trials is complete.
        """
        record = self._record(name)
        about = self._about(record)
        objective = about.objective
        trials = self._trials(record)
        best = _winner(record, trials, objective)
        if best is None:
            raise ConflictError(f"no trial of {name} is complete yet; see: kerastudy trials {name}")
        found = BestTrial(
            study=name,
            trial=_trial_row(best),
            metric=objective.metric,
            direction=objective.direction,
            test={},
            model=self._folder(record),
        )
        if goal_of(record):
            return found
        study = loaded(record)
        ensemble = self._ensemble(study, best.number)
        return replace(
            found,
            test=test_scores(study, self._home, best.number),
            model=str(Path(handed_over(study, self._home, best.number).folder) / MODEL_FILE),
            finalists=self._finalists(study, objective, trials),
            objectives=tuple(ObjectiveName(goal.name, goal.direction) for goal in objective.goals),
            front=tuple(map(_trial_row, front(trials, objective))) if objective.goals else (),
            refit=is_refitted(study, self._home, best.number),
            ensemble=ensemble.value if ensemble else None,
            ensemble_of=ensemble.parts if ensemble else (),
        )

    def _finalists(self, study: Study, objective: Objective, trials: Sequence[Scored]) -> tuple[Finalist, ...]:
        executions = Executions(self._store).of(study.name)
        return finalists_of(trials, executions, study.spec.selection, objective)

    def _ensemble(self, study: Study, number: int) -> Execution | None:
        if ensemble_of(study, self._home, number) is None:
            return None
        found = Executions(self._store).of(study.name)
        return next((each for each in found if (each.number, each.name) == (number, ENSEMBLE)), None)

    def complete_trial(self, name: str, number: int | None) -> int:
        """Return the number of a complete trial: the given one, or the best.

        Raises:
            InputError: if it does not exist or is not complete.
        """
        if number is None:
            return self.best(name).trial.number
        trial = self._trial(name, number)
        if trial.state != "complete":
            raise ConflictError(f"trial {number} of {name} is {trial.state}: expected a complete one")
        return number

    def ended_trial(self, name: str, number: int) -> Scored:
        """Return a trial that has come to its own end: complete, pruned or failed.

        Raises:
            InputError: if it does not exist, has not ended, or was cancelled.
        """
        trial = self._trial(name, number)
        if trial.state not in _ENDED:
            raise ConflictError(f"trial {number} of {name} is {trial.state}: expected one that is {', '.join(_ENDED)}")
        return trial

    def _trial(self, name: str, number: int) -> Scored:
        trials = {trial.number: trial for trial in self._trials(self._record(name))}
        if number not in trials:
            known = f"its trials are {min(trials)} to {max(trials)}" if trials else "it has none yet"
            raise UnknownError(f"{name} has no trial {number}; {known}")
        return trials[number]

    def importances(self, name: str) -> Mapping[str, float]:
        """Return each parameter's share in what made a study's trials good, largest first; empty where unknown.

        Raises:
            InputError: if there is no study of that name.
        """
        from tracking.reports.plots import TrialRow as Told
        from tracking.reports.plots import importances

        record = self._record(name)
        told = [
            Told(trial.number, "complete", trial.value, trial.params)
            for trial in self._trials(record)
            if trial.state == "complete"
        ]
        return importances(told, direction=self._about(record).objective.direction)

    def checked(self, name: str) -> Study:
        """Return a study as it was submitted.

        Raises:
            InputError: if there is none of that name, or KerasTuner's own tuner searches it.
        """
        return loaded(self._record(name))

    def identity(self, name: str) -> str:
        """Return what `Study.identity` was when a study was handed in.

        Raises:
            InputError: if there is no study of that name.
        """
        return self._record(name).digest.partition(":")[0]

    def finished(self, name: str) -> StudyEnded:
        """Return how a finished study ended, as its supervisor said it.

        Raises:
            InputError: if there is no study of that name.
        """
        record = self._record(name)
        waiting = Outbox(self._store).waiting(name)
        study, number = loaded(record), record.winner
        objective = self._objective(study, record)
        ensemble = None if number is None else self._ensemble(study, number)
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
            undelivered=waiting.pending + waiting.parked,
            undelivered_error=waiting.last_error,
            finalists=self._finalists(study, objective, self._trials(record)),
            refit=number is not None and is_refitted(study, self._home, number),
            ensemble=ensemble.value if ensemble else None,
        )

    def budget(self, name: str) -> int:
        """Return the trials that a study may have.

        Raises:
            InputError: if there is no study of that name, or KerasTuner's own tuner searches it.
        """
        return loaded(self._record(name)).spec.budget.trials

    def _state(self, record: StudyRecord) -> str:
        """Return a study's state; nobody could write down that its supervisor was killed."""
        was_killed = record.state == "running" and record.holder is None
        return "interrupted" if was_killed else record.state

    def _reason(self, record: StudyRecord) -> str:
        was_killed = self._state(record) == "interrupted"
        return f"nobody works on it; kerastudy resume {record.name} goes on" if was_killed else record.reason

    def _record(self, name: str) -> StudyRecord:
        record = self._queue.find(name)
        if record is None:
            hint = nearest(name, [each.name for each in self._queue.list()])
            raise UnknownError(f'there is no study "{name}" in {self._place}; {hint}')
        return record

    def row(self, record: StudyRecord) -> StudyRow:
        """Return a study as a list shows it."""
        about = self._about(record)
        # The queue learns of trials when its supervisor stops; until then Optuna knows more.
        trials = self._trials(record) if record.state == "running" else ()
        best = best_of(trials, about.objective)
        counts = count_by_state(trials) if trials else record.counts
        return StudyRow(
            name=record.name,
            state=self._state(record),
            trials=sum(count for state, count in counts.items() if state != "running"),
            budget=about.budget,
            metric=about.objective.metric,
            best=best.value if best else record.best_value,
            best_trial=best.number if best else record.winner,
        )

    def _trials(self, record: StudyRecord) -> tuple[Scored, ...]:
        study = self._in_optuna(record)
        return () if study is None else scored_trials(study)

    def _in_optuna(self, record: StudyRecord) -> optuna.Study | None:
        """Return the study in Optuna; None for one that was submitted and has not begun."""
        if is_unseen(record):
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
        return self._store.optuna_storage()

    def _about(self, record: StudyRecord) -> _About:
        if goal := goal_of(record):
            return _About(_OF_THE_TUNER, _OF_THE_TUNER, *goal, record.name.partition("/")[2])
        study = loaded(record)
        spec = study.spec
        return _About(spec.model, spec.data.source, self._objective(study, record), spec.budget.trials, record.name)

    def _folder(self, record: StudyRecord) -> str:
        return _OF_THE_TUNER if goal_of(record) else str(self._home.study(record.name))

    def _objective(self, study: Study, record: StudyRecord) -> Objective:
        """Return what a study is scored on; of one whose data nobody has read yet, what its file says of it."""
        if is_unseen(record):
            written = study.spec.scored_on
            return study.own_objective or Objective(
                written.metric if written else "", (written.direction if written else None) or "minimize"
            )
        file = self._home.data(study.name) / "summary.json"
        if not file.exists():
            raise InputError(f"{file.parent} is gone: name the --home that {study.name} was run with")
        return study.objective(json.loads(file.read_text(encoding="utf-8"))["task"]["kind"])


def nothing_left(study: Study, home: Home, *, evolve: bool = False) -> StudyEnded | None:
    """Return how a study ended if running it again has nothing to do; None if it may have.

    Decided without reading the data: its files are those that were read if none is newer.

    Raises:
        InputError: if the study is known and searches something else.
    """
    known = known_study(study, home, evolve=evolve)
    if known is None or known.state != "finished" or sum(known.counts.values()) < study.spec.budget.trials:
        return None
    prepared = home.data(study.name) / "summary.json"
    if known.document != written_document(study) or not prepared.exists():
        return None
    if any(file.stat().st_mtime > prepared.stat().st_mtime for file in source_files(study.spec.data, study.base)):
        return None
    with Lookup.open(home) as lookup:
        return lookup.finished(study.name)


def loaded(record: StudyRecord) -> Study:
    """Return the study that a record holds.

    Raises:
        InputError: if KerasTuner's own tuner searches it, which keeps data and models itself.
    """
    if goal_of(record):
        raise InputError(
            f"{record.name} is searched by KerasTuner's own tuner, which keeps its data and models itself: take "
            "tuner.get_best_models()"
        )
    return _checked(record.name, record.document, record.folder)


@lru_cache(maxsize=4096)
def _checked(name: str, document: str, folder: str) -> Study:
    return check_document(parse_document(document, name), Path(folder))


def _winner(record: StudyRecord, trials: Sequence[Scored], objective: Objective) -> Scored | None:
    """Return the trial that won a finished study, which need not be the best of its search; else the best so far."""
    if record.state == "finished":
        for trial in trials:
            if trial.number == record.winner:
                return trial
    return best_of(trials, objective)


def _last_failed_attempt(trials: Sequence[Scored]) -> str:
    failed = [(trial.number, trial.failed_attempts[-1].reason) for trial in trials if trial.failed_attempts]
    return f"trial {failed[-1][0]}: {failed[-1][1]}" if failed else ""


def _trial_row(trial: Scored) -> TrialRow:
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
