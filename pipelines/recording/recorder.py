"""Turns what happens in a study into rows for MLflow and the files that go with them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from pipelines.data.prepared import DataSummary
from pipelines.recording import records
from pipelines.recording.provenance import code, environment
from pipelines.search.optuna_search import OptunaSearch, TrialSummary, count_by_state, find_pareto_front, worth_keeping
from pipelines.selection.finalists import Finalist, folds_of
from pipelines.study.objective import Objective
from pipelines.study.study import Study
from pipelines.training.messages import EpochDone
from pipelines.training.trial_folder import ARTIFACTS, MODEL_FILE, WEIGHTS_FILE
from pipelines.workspace.atomic_files import write_text
from pipelines.workspace.home import Home
from search_spaces.values import Value
from search_spaces.yaml_writer import to_yaml
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import ModelDisplaced, ModelKept, Record, StudyState, TrialStarted
from tracking.reports.plots import Curve, TrialRow, read_history
from tracking.reports.study_report import StudyReport, draw_plots, write_page, write_retrainings_csv
from tracking.store.database import Store, now_ms
from tracking.store.retrainings import Retraining, Retrainings
from tracking.store.study_queue import StudyQueue
from tracking.testing.failpoints import hit

_FLUSH_EVERY_S = 1.0


class Running(Protocol):
    """A trial under way, or a retraining of one, with the epochs that MLflow has not been told yet."""

    number: int
    unsent: list[EpochDone]

    @property
    def retraining(self) -> str:
        """Return the retraining's name; empty for the trial itself."""


class Recorder:
    """Writes a study's rows and files; called by its supervisor alone.

    Args:
        check: raises, within each transaction, if the study is no longer this supervisor's.
        undeclared: hyperparameters that are searched and are not in the space.
    """

    def __init__(
        self,
        study: Study,
        objective: Objective,
        home: Home,
        store: Store,
        search: OptunaSearch,
        check: Callable[[Connection], None],
        undeclared: Sequence[str] = (),
    ) -> None:
        self._study = study
        self._objective = objective
        self._home = home
        self._outbox = Outbox(store)
        self._retrainings = Retrainings(store)
        self._store = store
        self._queue = StudyQueue(store)
        self._search = search
        self._check = check
        self._undeclared = undeclared
        self._flushed_at = 0.0
        self._folds = 1
        self._plots: tuple[Path, ...] | None = None
        self._kept = worth_keeping(search.trials(), objective, study.spec.models_kept)

    def record_study_start(self, summary: DataSummary) -> None:
        """Record that a study begins or goes on."""
        name = self._study.name
        self._folds = summary.folds
        folder = self._home.report(name)
        write_text(folder / "study.yaml", to_yaml(self._study.document.data))
        write_text(folder / "space.yaml", to_yaml(self._study.space.to_dict()))
        write_text(folder / "environment.json", json.dumps(environment(), indent=2) + "\n")
        write_text(folder / "code.json", json.dumps(code(self._study), indent=2) + "\n")
        write_text(folder / "data.json", json.dumps(asdict(summary), indent=2, ensure_ascii=False) + "\n")
        shutil.copyfile(self._home.data(name) / "split.csv", folder / "split.csv")
        opened = records.build_study_opened(
            self._study, self._objective, summary, self._home, started_ms=now_ms(), undeclared=self._undeclared
        )
        self._add([opened])

    def record_trial_start(self, number: int, values: Mapping[str, Value], tags: Mapping[str, str]) -> None:
        """Record that a trial was handed to a worker; its run gets the tags."""
        self._add([TrialStarted(self._study.name, number, dict(values), now_ms(), tags)])

    def record_parameters(self, number: int, params: Mapping[str, Value]) -> None:
        """Record what a model of the study's own has asked for so far."""
        self._add(records.build_parameters_drawn(self._study, number, params))

    def flush_epochs(self, running: Iterable[Running]) -> None:
        """Pass on the epochs of the running trials, at most once a second."""
        if time.monotonic() - self._flushed_at < _FLUSH_EVERY_S:
            return
        self._flushed_at = time.monotonic()
        self._add([row for trial in running for row in self._epochs(trial.number, trial.unsent, trial.retraining)])
        hit("epochs-recorded")
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
        """Record a trial's end: what is left of its epochs, its result, and which models are kept.

        With folds, `curve` is the mean over them.
        """
        told = [*records.build_parameters_drawn(self._study, trial.number, trial.params), *self._epochs(trial.number, unsent)]
        if self._folds > 1 and curve:
            told += self._epochs(trial.number, curve, mean=True)
        keeps, displaced = self._rank(trial)
        if keeps:
            name = self._study.name
            records.write_mlflow_model(self._home.trial(name, trial.number), self._home.data(name))
        finished = records.build_trial_finished(
            self._study.name,
            trial,
            self._objective,
            self._home,
            keeps_model=keeps,
            best_so_far=best_so_far,
            finished_ms=now_ms(),
        )
        self._add([*told, finished, *(ModelDisplaced(self._study.name, number) for number in displaced)])

    def record_retraining_start(self, number: int, name: str, values: Mapping[str, Value]) -> None:
        """Record that a trial is trained once more."""
        self._add([TrialStarted(self._study.name, number, dict(values), now_ms(), retraining=name)])

    def record_retraining_end(self, retraining: Retraining, unsent: Sequence[EpochDone], *, keeps_model: bool) -> None:
        """Record how a retraining ended, its rows for MLflow in one transaction with it."""
        if keeps_model:
            folder = self._home.retraining(retraining.study, retraining.number, retraining.name)
            records.write_mlflow_model(folder, self._home.data(retraining.study))
        told = self._epochs(retraining.number, unsent, retraining.name)
        with self._store.write() as connection:
            self._check(connection)
            self._outbox.add([*told, records.build_retraining_finished(retraining, self._home, keeps_model=keeps_model)], connection)
            self._retrainings.put(retraining, connection)
        hit("retraining-recorded")

    def record_ensemble(self, ensemble: Retraining) -> None:
        """Store what came of the finalists' models averaged; its scores go into the study's report."""
        with self._store.write() as connection:
            self._check(connection)
            self._retrainings.put(ensemble, connection)

    def find_missing_models(self) -> tuple[int, ...]:
        """Return the trials whose model is kept and not yet written: a fleet leaves their weights alone."""
        return tuple(trial.number for trial in self._kept if self._left_weights(trial) and not self._has_file(trial))

    def record_written_models(self) -> None:
        """Record the models that were written since their trials ended; what MLflow has already stays as it is."""
        written = [trial for trial in self._kept if self._left_weights(trial) and self._has_file(trial)]
        self._add([self._late_model(trial.number) for trial in written])

    def draw_plots(self) -> None:
        """Draw the pictures of the study's report, once no further trial will end."""
        self._plots = draw_plots(self._home.report(self._study.name), self._report(self._search.trials(), "", "", {}))

    def record_study_end(
        self,
        state: StudyState,
        reason: str,
        best: TrialSummary | None,
        test: Mapping[str, float],
        finalists: Sequence[Finalist] = (),
        retraining: str = "",
    ) -> None:
        """Record that a study ended or was paused, with its report, and its state in the queue; see `build_study_closed`."""
        spec = self._study.spec
        trials = self._search.trials()
        counts = count_by_state(trials)
        folder = self._home.report(spec.study)
        if self._plots is None and state in ("finished", "failed"):  # nobody who asks for an end waits for pictures
            self.draw_plots()
        write_page(folder, self._report(trials, state, reason, test, finalists), self._plots or ())
        if retrainings := self._retrainings.list(spec.study):
            write_retrainings_csv(folder / "retrainings.csv", retrainings)
        closed = records.build_study_closed(
            self._study,
            state,
            reason,
            self._home,
            best=best,
            trials=counts,
            test=test,
            finished_ms=now_ms(),
            finalists=finalists,
            retraining=retraining,
            pareto_front=find_pareto_front(trials, self._objective) if self._objective.goals else (),
        )
        hit("study-closing")
        with self._store.write() as connection:
            self._check(connection)
            self._outbox.add([closed], connection)
            self._queue.set_state(spec.study, state, reason, connection=connection)
            self._queue.set_result(
                spec.study,
                winner=closed.winner,
                best_value=closed.best_value,
                counts=counts,
                connection=connection,
            )
        hit("study-closed")

    def _add(self, told: Sequence[Record]) -> None:
        if not told:
            return
        with self._store.write() as connection:
            self._check(connection)
            self._outbox.add(told, connection)

    def _epochs(
        self, number: int, epochs: Sequence[EpochDone], retraining: str = "", *, mean: bool = False
    ) -> list[Record]:
        folds = folds_of(retraining, self._folds)
        return records.build_epochs_recorded(self._study.name, number, epochs, folds, mean=mean, retraining=retraining)

    def _left_weights(self, trial: TrialSummary) -> bool:
        return (self._home.trial(self._study.name, trial.number) / WEIGHTS_FILE).exists()

    def _has_file(self, trial: TrialSummary) -> bool:
        return (self._home.trial(self._study.name, trial.number) / MODEL_FILE).exists()

    def _late_model(self, number: int) -> Record:
        folder = self._home.trial(self._study.name, number)
        records.write_mlflow_model(folder, self._home.data(self._study.name), anew=False)
        return ModelKept(self._study.name, number, str(folder / ARTIFACTS), str(folder / records.MLFLOW_MODEL))

    def _rank(self, trial: TrialSummary) -> tuple[bool, list[int]]:
        """Return whether a trial's model is kept, and whose model goes instead; delete what is not kept."""
        if trial.state != "complete":
            return False, []
        candidates = [*(kept for kept in self._kept if kept.number != trial.number), trial]
        self._kept = worth_keeping(candidates, self._objective, self._study.spec.models_kept)
        stay = {kept.number for kept in self._kept}
        gone = [other.number for other in candidates if other.number not in stay]
        for number in gone:
            folder = self._home.trial(self._study.name, number)
            (folder / MODEL_FILE).unlink(missing_ok=True)
            shutil.rmtree(folder / records.MLFLOW_MODEL, ignore_errors=True)
        return trial.number not in gone, [number for number in gone if number != trial.number]

    def _report(
        self,
        trials: Sequence[TrialSummary],
        state: str,
        reason: str,
        test: Mapping[str, float],
        finalists: Sequence[Finalist] = (),
    ) -> StudyReport:
        summary = json.loads((self._home.report(self._study.name) / "data.json").read_text(encoding="utf-8"))
        facts = {
            "data": f"{summary['source']}, {summary['digest'][:12]}",
            "rows": ", ".join(f"{count} {part}" for part, count in summary["rows"].items()),
            "task": summary["task"]["kind"],
            "model": self._study.spec.model,
            "objective": f"{self._objective.direction} {self._objective.metric}, at each trial's best epoch",
            "search": f"{self._study.spec.search.sampler} sampler, {self._study.spec.search.pruner} pruner",
            **{name: f"{value:.6g}" for name, value in test.items()},
            **{name: str(value) for name, value in environment().items()},
        }
        return StudyReport(
            study=self._study.name,
            metric=self._objective.metric,
            direction=self._objective.direction,
            outcome=f"{state}: {reason}",
            rows=[row for trial in trials if (row := _row(trial)) is not None],
            space=to_yaml(self._study.space.to_dict()),
            facts=facts,
            curves={trial.number: self._curve(trial.number) for trial in self._kept},
            winner=finalists[0].number if finalists else None,
            selection=[
                (each.number, each.mean, *(each.interval or (None, None)), " ".join(f"{s:.5g}" for s in each.scores))
                for each in finalists
            ],
        )

    def _curve(self, number: int) -> Curve:
        return read_history(self._home.trial(self._study.name, number) / ARTIFACTS / "history.csv")


def _row(trial: TrialSummary) -> TrialRow | None:
    if trial.state == "running":
        return None
    return TrialRow(
        number=trial.number,
        state=trial.state,
        value=trial.value,
        params=trial.params,
        best_epoch=trial.best_epoch,
        duration_s=trial.seconds,
        reason=trial.reason,
    )
