"""Recorder of a study: its records for MLflow in the outbox, its results in the store, and the files of its report."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection

from pipelines.recording.data_section import write_data_report
from pipelines.recording.provenance import describe_environment, hash_code
from pipelines.recording.records import (
    MLFLOW_MODEL,
    StudyOutcome,
    build_epochs_recorded,
    build_parameters_drawn,
    build_retraining_finished,
    build_study_closed,
    build_study_opened,
    build_trial_finished,
    write_mlflow_model,
)
from pipelines.search.optuna_search import OptunaSearch
from pipelines.search.trial_summaries import TrialSummary, select_kept
from pipelines.selection.finalists import count_folds
from pipelines.selection.model_locations import find_winning_model
from pipelines.selection.registered_files import RegisteredFiles
from pipelines.study.context import StudyContext
from pipelines.training.messages import EpochDone
from pipelines.training.trial_folder import ARTIFACTS, MODEL_FILE, WEIGHTS_FILE
from pipelines.workspace.atomic_files import write_text
from search_spaces.values import Value
from search_spaces.yaml_writer import to_yaml
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import ModelDisplaced, ModelKept, Record, TrialPaused, TrialStarted
from tracking.store.database import Store
from tracking.store.retrainings import Retraining, Retrainings
from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submissions
from tracking.store.tables import now_ms
from tracking.testing.failpoints import hit

if TYPE_CHECKING:
    from pipelines.recording.report_writer import ReportWriter

# Chosen: one transaction a second for all running trials, however short their epochs are.
_FLUSH_EVERY_S = 1.0
# Chosen: nobody follows a thousand curves at once, and each record costs MLflow a little.
_MOST_ROWS_A_SECOND = 100


class EpochSource(Protocol):
    """A running trial or retraining, with the epochs that are not recorded for MLflow yet."""

    number: int
    unsent: list[EpochDone]

    @property
    def retraining(self) -> str:
        """Name of the retraining; empty for the trial itself."""


class Recorder:
    """Recorder of one study, used by its supervisor alone.

    Args:
        context: the study.
        store: the database of the studies.
        search: the study in Optuna.
        check: called within each transaction; raises if the study is no longer this supervisor's.
        clock: seconds that pass.
    """

    def __init__(
        self,
        context: StudyContext,
        store: Store,
        search: OptunaSearch,
        check: Callable[[Connection], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._study = study = context.study
        self._objective = context.objective
        self._home = context.home
        self._outbox = Outbox(store)
        self._retrainings = Retrainings(store)
        self._store = store
        self._queue = StudyQueue(store)
        self._registered = RegisteredFiles(context.home, store)
        self._search = search
        self._check = check
        self._clock = clock
        self._flushed_at = 0.0
        self._folds, self._seeds = context.summary.folds, context.spec.training.seeds
        # From Optuna, because a study that continues has models of earlier runs.
        self._kept = select_kept(search.trials, context.objective, study.spec.models_kept)

    def record_study_start(self) -> None:
        """Record that a study starts or continues, with the files that describe it."""
        name, summary = self._study.name, self._context.summary
        folder = self._home.locate_report(name)
        write_text(folder / "study.yaml", to_yaml(self._study.document.data))
        write_text(folder / "space.yaml", to_yaml(self._study.space.to_dict()))
        # At each start, because a study may continue in another environment.
        write_text(folder / "environment.json", json.dumps(describe_environment(), indent=2) + "\n")
        write_text(folder / "code.json", json.dumps(hash_code(self._study), indent=2) + "\n")
        write_text(folder / "data.json", json.dumps(asdict(summary), indent=2, ensure_ascii=False) + "\n")
        write_data_report(folder / "data_report.json", summary)
        shutil.copyfile(self._home.locate_data(name) / "split.csv", folder / "split.csv")
        submission = Submissions(self._store).find(name)
        user = submission.submitter if submission else ""
        opened = build_study_opened(self._context, started_ms=now_ms(), user=user)
        self._add([opened])

    def record_trial_start(
        self, number: int, values: Mapping[str, Value], tags: Mapping[str, str], *, resumed: bool = False
    ) -> None:
        """Record that a trial starts in a worker, or goes on after a pause; its run gets the tags."""
        self._add([TrialStarted(self._study.name, number, dict(values), now_ms(), tags, resumed=resumed)])

    def record_trial_pause(self, trial: TrialSummary, unsent: Sequence[EpochDone]) -> None:
        """Record that a trial is paused, with its last epochs."""
        if trial.value is None:
            raise ValueError(f"trial {trial.number} has no score")
        self._add(
            [
                *build_parameters_drawn(self._study, trial.number, trial.params),
                *self._build_epochs(trial.number, unsent),
                TrialPaused(self._study.name, trial.number, trial.value, trial.reason),
            ]
        )

    def record_parameters(self, number: int, params: Mapping[str, Value]) -> None:
        """Record the hyperparameters that a user model has requested so far."""
        self._add(build_parameters_drawn(self._study, number, params))

    def flush_epochs(self, running: Iterable[EpochSource]) -> None:
        """Record the epochs of the running trials, at most once a second, and less often where many run."""
        running = list(running)
        if self._clock() - self._flushed_at < max(_FLUSH_EVERY_S, len(running) / _MOST_ROWS_A_SECOND):
            return
        self._flushed_at = self._clock()
        self._add(
            [row for trial in running for row in self._build_epochs(trial.number, trial.unsent, trial.retraining)]
        )
        hit("epochs-recorded")
        # Only now: if the transaction fails, the epochs are still there.
        for trial in running:
            trial.unsent.clear()

    def record_trial_end(
        self,
        trial: TrialSummary,
        unsent: Sequence[EpochDone],
        *,
        best_so_far: float | None,
        curve: Sequence[EpochDone] = (),
    ) -> None:
        """Record a trial's end: its last epochs, its result, and the models that are kept now.

        With folds or several seeds, `curve` is the mean over them.
        """
        rows = [
            *build_parameters_drawn(self._study, trial.number, trial.params),
            *self._build_epochs(trial.number, unsent),
        ]
        if self._folds * self._seeds > 1 and curve:
            rows += self._build_epochs(trial.number, curve, mean=True)
        keeps, displaced = self._select_models(trial)
        # The model's files first: the row names them, and may be delivered at once.
        if keeps:
            name = self._study.name
            write_mlflow_model(self._home.locate_trial(name, trial.number), self._home.locate_data(name))
        finished = build_trial_finished(
            self._context, trial, keeps_model=keeps, best_so_far=best_so_far, finished_ms=now_ms()
        )
        rewritten = [self._home.locate_trial(self._study.name, number) for number in (trial.number, *displaced)]
        self._add([*rows, finished, *(ModelDisplaced(self._study.name, number) for number in displaced)], rewritten)

    def record_retraining_start(self, number: int, name: str, values: Mapping[str, Value]) -> None:
        """Record that a retraining of a trial starts."""
        rewritten = self._home.locate_retraining(self._study.name, number, name)
        self._add([TrialStarted(self._study.name, number, dict(values), now_ms(), retraining=name)], [rewritten])

    def record_retraining_end(
        self,
        retraining: Retraining,
        unsent: Sequence[EpochDone],
        *,
        keeps_model: bool,
        curve: Sequence[EpochDone] = (),
    ) -> None:
        """Record the end of a retraining: the retraining and its records for MLflow in one transaction.

        With folds, `curve` is the mean over them.
        """
        if keeps_model:
            folder = self._home.locate_retraining(retraining.study, retraining.number, retraining.name)
            write_mlflow_model(folder, self._home.locate_data(retraining.study))
        rows = self._build_epochs(retraining.number, unsent, retraining.name)
        if count_folds(retraining.name, self._folds) > 1:
            rows += self._build_epochs(retraining.number, curve, retraining.name, mean=True)
        with self._store.write() as connection:
            self._check(connection)
            self._outbox.add(
                [*rows, build_retraining_finished(retraining, self._home, keeps_model=keeps_model)], connection
            )
            self._retrainings.put(retraining, connection)
        hit("retraining-recorded")

    def record_retraining_displaced(self, number: int, name: str) -> None:
        """Record that a retraining and its model are removed, since another one takes their place."""
        with self._store.write() as connection:
            self._check(connection)
            self._outbox.add([ModelDisplaced(self._study.name, number, name)], connection)
            self._retrainings.remove(self._study.name, number, name, connection)

    def record_decision(self, decision: Retraining) -> None:
        """Store a decision on ensemble or refit, which is no training; its scores go into the study's report."""
        with self._store.write() as connection:
            self._check(connection)
            # An ensemble's model is written for the decision.
            folder = self._home.locate_retraining(decision.study, decision.number, decision.name)
            self._registered.forget([folder], connection)
            self._retrainings.put(decision, connection)

    def find_missing_models(self) -> tuple[int, ...]:
        """Return the trials whose model is kept but not written yet: a fleet writes only weights."""
        return tuple(trial.number for trial in self._kept if self._has_weights(trial) and not self._has_model(trial))

    def record_written_models(self) -> None:
        """Record the models that were written after their trials ended; a model that MLflow has is not changed."""
        written = [trial for trial in self._kept if self._has_weights(trial) and self._has_model(trial)]
        self._add([self._build_late_model(trial.number) for trial in written])

    @cached_property
    def _report(self) -> ReportWriter:
        # Here, since it loads libraries that no trial needs.
        from pipelines.recording.report_writer import ReportWriter

        return ReportWriter(self._context)

    def prepare_report(self) -> None:
        """Do what takes longest of the report once no further trial will end."""
        self._report.prepare(self._search.trials)

    def record_study_end(self, outcome: StudyOutcome) -> None:
        """Record that a study ended or was paused: its report, its record for MLflow, and its state in the queue."""
        spec, trials = self._context.spec, self._search.trials
        retrainings = self._retrainings.list(spec.study)
        self._report.write(trials, outcome, retrainings, self._queue.get(spec.study).elapsed_s)
        closed = build_study_closed(self._context, outcome, trials, finished_ms=now_ms())
        if closed.winner is not None and closed.register is not None:
            self._registered.record(spec.study, find_winning_model(self._study, self._home, closed.winner))
        # One transaction follows: the queue must not have an end that MLflow never gets.
        hit("study-closing")
        with self._store.write() as connection:
            self._check(connection)
            self._outbox.add([closed], connection)
            self._queue.set_state(spec.study, outcome.state, outcome.reason, connection=connection)
            self._queue.set_result(
                spec.study,
                winner=closed.winner,
                best_value=closed.best_value,
                counts=closed.trials,
                connection=connection,
            )
        hit("study-closed")

    def _add(self, rows: Sequence[Record], rewritten: Iterable[Path] = ()) -> None:
        """Add records, and forget the digests of models in folders that are written anew."""
        if not rows:
            return
        with self._store.write() as connection:
            self._check(connection)
            self._outbox.add(rows, connection)
            if rewritten:
                self._registered.forget(rewritten, connection)

    def _build_epochs(
        self, number: int, epochs: Sequence[EpochDone], retraining: str = "", *, mean: bool = False
    ) -> list[Record]:
        folds, seeds = count_folds(retraining, self._folds), 1 if retraining else self._seeds
        return build_epochs_recorded(self._study.name, number, epochs, folds, seeds, mean=mean, retraining=retraining)

    def _has_weights(self, trial: TrialSummary) -> bool:
        return (self._home.locate_trial(self._study.name, trial.number) / WEIGHTS_FILE).exists()

    def _has_model(self, trial: TrialSummary) -> bool:
        return (self._home.locate_trial(self._study.name, trial.number) / MODEL_FILE).exists()

    def _build_late_model(self, number: int) -> Record:
        folder = self._home.locate_trial(self._study.name, number)
        write_mlflow_model(folder, self._home.locate_data(self._study.name), overwrite=False)
        return ModelKept(self._study.name, number, str(folder / ARTIFACTS), str(folder / MLFLOW_MODEL))

    def _select_models(self, trial: TrialSummary) -> tuple[bool, list[int]]:
        """Return whether a trial's model is kept, and the trials whose models are displaced; delete those models."""
        if trial.state != "complete":
            return False, []
        # A trial whose end is recorded again after a kill counts once.
        candidates = [*(kept for kept in self._kept if kept.number != trial.number), trial]
        self._kept = select_kept(candidates, self._objective, self._study.spec.models_kept)
        stay = {kept.number for kept in self._kept}
        gone = [other.number for other in candidates if other.number not in stay]
        # The best models alone are stored, or a study of thousands would fill the disk.
        for number in gone:
            folder = self._home.locate_trial(self._study.name, number)
            (folder / MODEL_FILE).unlink(missing_ok=True)
            shutil.rmtree(folder / MLFLOW_MODEL, ignore_errors=True)
        return trial.number not in gone, [number for number in gone if number != trial.number]
