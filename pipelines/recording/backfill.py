"""A study told to MLflow anew: the rows that its supervisor would have written, from the store and the files alone.

Times are those that the store and the files hold, so that telling a study twice changes nothing. What MLflow has of it
already stays: its runs are found again, and a point that is there is not added a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from zipfile import BadZipFile

import optuna
from optuna.trial import FrozenTrial

from pipelines.data.prepared import DataSummary
from pipelines.recording import records
from pipelines.search.optuna_search import (
    TrialSummary,
    best_of,
    count_by_state,
    find_pareto_front,
    summarize_trials,
    worth_keeping,
)
from pipelines.search.space_evolution import changes_of, generations
from pipelines.selection.finalists import ENSEMBLE, REFIT, Finalist, finalists_of, folds_of
from pipelines.selection.model_locations import is_refitted, test_scores
from pipelines.study.model_hyperparameters import find_undeclared, read_requests
from pipelines.study.objective import Objective
from pipelines.study.study import Study
from pipelines.training.messages import EpochDone
from pipelines.training.trial_folder import WEIGHTS_FILE, read_epochs, read_result
from pipelines.workspace.home import Home
from tracking.outbox.records import ModelDisplaced, Record, StudyClosed, StudyOpened, StudyState, TrialStarted
from tracking.store.retrainings import Retraining
from tracking.store.study_queue import StudyRecord

_AT_REST: Final[Mapping[str, StudyState]] = {
    "finished": "finished",
    "failed": "failed",
    "cancelled": "cancelled",
    "paused": "paused",
}
_NOBODY: Final = "nobody works on it; run the same file again to go on"


@dataclass(frozen=True)
class Before:
    """The rows of a study's last opening and of its last end or pause, as far as they are known."""

    opened: StudyOpened | None
    closed: StudyClosed | None


@dataclass(frozen=True)
class Backfill:
    """A study's rows.

    Attributes:
        trials: how many trials they tell of.
        notes: what could not be told, and why.
    """

    records: tuple[Record, ...]
    trials: int
    notes: tuple[str, ...]


def backfill_study(
    study: Study,
    summary: DataSummary,
    record: StudyRecord,
    before: Before,
    home: Home,
    storage: optuna.storages.BaseStorage,
    retrainings: Sequence[Retraining] = (),
) -> Backfill | None:
    """Return all that there is to tell of a study; None where it has not begun.

    Args:
        study: the study.
        summary: its prepared data.
        record: how the queue has it.
        before: what was told of its beginning and its end, for the times of them.
        home: where its files are.
        storage: Optuna's.
        retrainings: further trainings of its trials.
    """
    try:
        lived = [optuna.load_study(study_name=name, storage=storage) for name in generations(storage, study.name)]
    except KeyError:
        return None
    objective = study.resolve_objective(summary.task.kind)
    today = summarize_trials(lived[-1])
    telling = _Telling(study, objective, summary.folds, home, today)
    trials = [row for generation in lived for row in telling.ended(generation)]
    trials += telling.under_way(lived[-1])
    opened = _opened(study, objective, summary, record, before.opened, home, trials)
    displaced = [ModelDisplaced(study.name, trial.number) for trial in today if telling.is_displaced(trial)]
    count = sum(isinstance(row, TrialStarted) for row in trials)
    trials += telling.executed(retrainings)
    finalists = finalists_of(today, retrainings, study.spec.selection, objective)
    last_ms = telling.latest_ms or opened.started_ms
    end = _closed(study, objective, record, before.closed, home, today, last_ms, finalists)
    return Backfill((opened, *trials, *displaced, end), count, tuple(telling.notes))


class _Telling:
    """The trials of a study, told in the order in which they ended.

    Attributes:
        latest_ms: when the last one ended.
        notes: what could not be told, and why.
    """

    def __init__(self, study: Study, objective: Objective, folds: int, home: Home, today: Sequence[TrialSummary]) -> None:
        self._study = study
        self._objective = objective
        self._folds = folds
        self._home = home
        self._today = today
        self._kept = {trial.number for trial in worth_keeping(today, objective, study.spec.models_kept)}
        self._ranked = {trial.number for trial in today if trial.state == "complete" and trial.fits}
        self.latest_ms = 0
        self.notes: list[str] = []

    def is_displaced(self, trial: TrialSummary) -> bool:
        """Say whether a trial's model may have been kept once, and is not now."""
        return trial.state == "complete" and not self._keeps(trial.number)

    def _keeps(self, number: int) -> bool:
        """Say whether a trial's model is kept: those that no longer fit the space keep what they had."""
        if number in self._ranked:
            return number in self._kept
        return (self._home.trial(self._study.name, number) / records.MLFLOW_MODEL).exists()

    def ended(self, generation: optuna.Study) -> Iterator[Record]:
        """Yield what there is to tell of the trials that ended in a generation."""
        frozen = {trial.number: trial for trial in generation.get_trials(deepcopy=False)}
        scored = [trial for trial in summarize_trials(generation) if trial.state != "running"]
        carried = changes[-1].before if (changes := changes_of(generation)) else 0
        best = best_of([trial for trial in scored if trial.number < carried], self._objective)
        own = [trial for trial in scored if trial.number >= carried]
        for trial in sorted(own, key=lambda each: (_ended_ms(frozen[each.number]), each.number)):
            best = best_of([best, trial] if best else [trial], self._objective)
            yield from self._trial(trial, frozen[trial.number], best)

    def under_way(self, generation: optuna.Study) -> Iterator[Record]:
        """Yield what there is to tell of the trials that have not ended."""
        frozen = {trial.number: trial for trial in generation.get_trials(deepcopy=False)}
        for trial in summarize_trials(generation):
            if trial.state == "running":
                yield from self._begun(trial, frozen[trial.number])

    def executed(self, retrainings: Sequence[Retraining]) -> Iterator[Record]:
        """Yield what there is to tell of further trainings, in the order in which they ended."""
        params = {trial.number: trial.params for trial in self._today}
        for each in sorted(retrainings, key=lambda retraining: retraining.ended_ms):
            if each.name == ENSEMBLE or each.number not in params:
                continue
            folder = self._home.retraining(each.study, each.number, each.name)
            yield TrialStarted(each.study, each.number, dict(params[each.number]), each.started_ms, retraining=each.name)
            folds = folds_of(each.name, self._folds)
            yield from records.build_epochs_recorded(each.study, each.number, read_epochs(folder), folds, retraining=each.name)
            if each.name == REFIT:
                records.write_mlflow_model(folder, self._home.data(each.study), anew=False)
            self.latest_ms = max(self.latest_ms, each.ended_ms)
            yield records.build_retraining_finished(each, self._home, keeps_model=each.name == REFIT)

    def _begun(self, trial: TrialSummary, frozen: FrozenTrial) -> Iterator[Record]:
        yield TrialStarted(self._study.name, trial.number, dict(trial.params), _began_ms(frozen))
        yield from records.build_epochs_recorded(self._study.name, trial.number, self._epochs(trial), self._folds)

    def _trial(self, trial: TrialSummary, frozen: FrozenTrial, best: TrialSummary | None) -> Iterator[Record]:
        yield from self._begun(trial, frozen)
        if self._folds > 1:
            yield from records.build_epochs_recorded(self._study.name, trial.number, self._mean(trial), self._folds, mean=True)
        keeps = trial.state == "complete" and self._keeps(trial.number)
        if keeps:
            self._write_model(trial)
        ended_ms = _ended_ms(frozen)
        self.latest_ms = max(self.latest_ms, ended_ms)
        yield records.build_trial_finished(
            self._study.name,
            trial,
            self._objective,
            self._home,
            keeps_model=keeps,
            best_so_far=best.value if best else None,
            finished_ms=ended_ms,
        )

    def _epochs(self, trial: TrialSummary) -> Sequence[EpochDone]:
        """Return the epochs that a trial reported, or, where that is lost, those of its result."""
        epochs = read_epochs(self._home.trial(self._study.name, trial.number))
        if not epochs and self._folds == 1:
            epochs = self._mean(trial)
        if not epochs and trial.state == "complete":
            self.notes.append(f"trial {trial.number}: its epochs are not in its folder, and its curve stays empty")
        return epochs

    def _mean(self, trial: TrialSummary) -> tuple[EpochDone, ...]:
        """Return the curve in a trial's result: of several folds the mean."""
        try:
            result = read_result(self._home.trial(self._study.name, trial.number))
        except (ValueError, TypeError, KeyError) as error:
            self.notes.append(f"trial {trial.number}: its result cannot be read: {error}")
            return ()
        return result.epochs if result else ()

    def _write_model(self, trial: TrialSummary) -> None:
        folder = self._home.trial(self._study.name, trial.number)
        try:
            records.write_mlflow_model(folder, self._home.data(self._study.name), anew=False)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            self.notes.append(f"trial {trial.number}: its model cannot be read: {error}")
        # A fleet leaves weights, and the models that are kept are written from them when the study ends.
        if not (folder / records.MLFLOW_MODEL).exists() and not (folder / WEIGHTS_FILE).exists():
            self.notes.append(f"trial {trial.number}: its model is not in its folder, and cannot be told")


def _opened(
    study: Study,
    objective: Objective,
    summary: DataSummary,
    record: StudyRecord,
    before: StudyOpened | None,
    home: Home,
    trials: Sequence[Record],
) -> StudyOpened:
    first_ms = min([row.started_ms for row in trials if isinstance(row, TrialStarted)], default=None)
    # A study that went on after a pause was opened again after its first trials.
    is_first = before is not None and (first_ms is None or before.started_ms <= first_ms)
    began_ms = before.started_ms if before is not None and is_first else record.created_ms
    asked = read_requests(home.study(study.name)) if study.searches_undeclared else ()
    loose = find_undeclared(asked, study.space.parameters)
    names = [each.name for each in loose]
    return records.build_study_opened(study, objective, summary, home, started_ms=began_ms, undeclared=names)


def _closed(
    study: Study,
    objective: Objective,
    record: StudyRecord,
    before: StudyClosed | None,
    home: Home,
    trials: Sequence[TrialSummary],
    latest_ms: int,
    finalists: Sequence[Finalist],
) -> StudyClosed:
    """Return how the study stands: ended, paused, or left behind by a supervisor that was killed."""
    state = _AT_REST.get(record.state, "paused")
    best = best_of(trials, objective)
    if state == "finished":
        best = next((trial for trial in trials if trial.number == record.winner), best)
    row = records.build_study_closed(
        study,
        state,
        record.reason if record.state in _AT_REST else _NOBODY,
        home,
        best=best,
        trials=count_by_state(trials),
        test=test_scores(study, home, best.number) if best and state == "finished" else {},
        finished_ms=latest_ms,
        finalists=finalists if state == "finished" else (),
        retraining=REFIT if best and is_refitted(study, home, best.number) else "",
        pareto_front=find_pareto_front(trials, objective) if objective.goals else (),
    )
    if before is None or (before.state, before.winner) != (state, row.winner):
        return row
    return replace(row, finished_ms=before.finished_ms, test=row.test or before.test)


def _began_ms(trial: FrozenTrial) -> int:
    return _ms(trial.datetime_start)


def _ended_ms(trial: FrozenTrial) -> int:
    return _ms(trial.datetime_complete)


def _ms(at: datetime | None) -> int:
    if at is None:
        raise AssertionError("Optuna notes when a trial begins and when it ends")
    return int(at.timestamp() * 1000)
