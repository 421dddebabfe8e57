"""Stored studies, read by their records in the queue: state, objective, trials in Optuna."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from pipelines.data.prepared import Task
from pipelines.integrations.oracle_names import read_goal
from pipelines.search.space_evolution import find_current_name
from pipelines.search.trial_summaries import TrialSummary, find_best, summarize_trials
from pipelines.study.objective import Objective
from pipelines.study.stored import is_unchecked, load_stored_study
from pipelines.study.study import Study
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, UnknownError, suggest_choice
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue, StudyRecord

if TYPE_CHECKING:
    import optuna
    from optuna.storages import RDBStorage

_STUDIES_AT_HAND = 16  # chosen: more than a team watches at once
_OF_THE_TUNER = "of KerasTuner's own tuner"


@dataclass(frozen=True)
class StudyFacts:
    """Facts of a study that do not depend on its trials.

    Attributes:
        mlflow_name: its name in MLflow and in the outbox.
    """

    model: str
    source: str
    objective: Objective
    budget: int
    mlflow_name: str


class RecordReader:
    """Reader of a home's stored studies; changes nothing.

    Args:
        home: the home.
        store: the home's store.
        place: the home's name in errors; its folder by default.
    """

    def __init__(self, home: Home, store: Store, *, place: str = "") -> None:
        self._home = home
        self._place = place or str(home.folder)
        self._store = store
        self._queue = StudyQueue(store)
        # An optuna.Study caches the trials that have ended: each of them is read from the database once.
        self._load = lru_cache(_STUDIES_AT_HAND)(self._load_from_optuna)

    def find_record(self, name: str) -> StudyRecord:
        """Return the record of a study.

        Raises:
            UnknownError: if there is none of that name; names the nearest one.
        """
        record = self._queue.find(name)
        if record is None:
            # A list of all names costs a query, and only errors pay for it.
            hint = suggest_choice(name, [each.name for each in self._queue.list()])
            raise UnknownError(f'there is no study "{name}" in {self._place}; {hint}')
        return record

    def derive_state(self, record: StudyRecord) -> str:
        """Return a study's state: a killed supervisor leaves `running` behind, which is `interrupted`."""
        # Derived and not stored: the process that was killed could not change its state.
        was_killed = record.state in ("preparing", "running") and record.holder is None
        if was_killed and is_unchecked(record):
            return "queued"  # no trial has begun: a service starts it in its turn
        return "interrupted" if was_killed else record.state

    def derive_reason(self, record: StudyRecord) -> str:
        """Return the reason for a study's state."""
        if record.state == "preparing" and self.derive_state(record) == "queued":
            return ""  # its step is over
        was_killed = self.derive_state(record) == "interrupted"
        return f"nobody works on it; kerastudy resume {record.name} resumes it" if was_killed else record.reason

    def list_trials(self, record: StudyRecord) -> tuple[TrialSummary, ...]:
        """Return a study's trials, in order."""
        study = self.load_optuna_study(record)
        return () if study is None else summarize_trials(study)

    def load_optuna_study(self, record: StudyRecord) -> optuna.Study | None:
        """Return the study in Optuna; None for one that was submitted and has not started."""
        # Optuna has no study of it yet, and importing Optuna takes most of a second.
        if is_unchecked(record):
            return None
        try:
            # An evolved study continues in a new study of Optuna's, under another name.
            return self._load(find_current_name(self._optuna, record.name))
        except KeyError:
            return None

    def _load_from_optuna(self, name: str) -> optuna.Study:
        # Lazy: a list of studies that have ended needs the queue alone.
        import optuna

        return optuna.load_study(study_name=name, storage=self._optuna)

    @cached_property
    def _optuna(self) -> RDBStorage:
        return self._store.open_optuna_storage()

    def collect_facts(self, record: StudyRecord) -> StudyFacts:
        """Return a study's facts, from its file or from KerasTuner's oracle."""
        if goal := read_goal(record):
            return StudyFacts(_OF_THE_TUNER, _OF_THE_TUNER, *goal, record.name.partition("/")[2])
        study = load_record(record)
        spec = study.spec
        source = spec.data.describe_source()
        return StudyFacts(spec.model, source, self.read_objective(study, record), spec.budget.trials, record.name)

    def locate_folder(self, record: StudyRecord) -> str:
        """Return the folder of a study's files."""
        return _OF_THE_TUNER if read_goal(record) else str(self._home.locate_study(record.name))

    def read_notes(self, record: StudyRecord) -> tuple[str, ...]:
        """Return the notes on a study's data; none before it is read, and where it is gone."""
        file = self._home.locate_data(record.name) / "summary.json"
        return tuple(json.loads(file.read_text(encoding="utf-8")).get("notes", ())) if file.exists() else ()

    def read_objective(self, study: Study, record: StudyRecord) -> Objective:
        """Return a study's objective; before its data is read, as far as its file states it.

        Raises:
            InputError: if its data is gone.
        """
        # Of a study that is being deleted, the files may be gone.
        if is_unchecked(record) or record.state == "deleting":
            written = study.spec.score_objective
            return study.user_objective or Objective(
                written.metric if written else "", (written.direction if written else None) or "minimize"
            )
        # The data decides the default metric.
        file = self._home.locate_data(study.name) / "summary.json"
        if not file.exists():
            raise InputError(f"{file.parent} is gone: name the --home that {study.name} was run with")
        task = json.loads(file.read_text(encoding="utf-8"))["task"]
        return study.resolve_task_objective(Task.from_json(task))


def load_record(record: StudyRecord) -> Study:
    """Return the study of a record.

    Raises:
        InputError: if KerasTuner's own tuner searches it: data and models are not in this home.
    """
    if read_goal(record):
        raise InputError(
            f"{record.name} is searched by KerasTuner's own tuner, which keeps its data and models itself: take "
            "tuner.get_best_models()"
        )
    return load_stored_study(record)


def find_winner(record: StudyRecord, trials: Sequence[TrialSummary], objective: Objective) -> TrialSummary | None:
    """Return the winner of a finished study, which retrainings may have chosen; of others the best trial so far."""
    if record.state == "finished":
        for trial in trials:
            if trial.number == record.winner:
                return trial
    return find_best(trials, objective)
