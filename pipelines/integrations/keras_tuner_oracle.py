"""Oracle for KerasTuner's tuners: it searches with Optuna, prunes, records in MLflow and resumes.

::

    tuner = keras_tuner.Tuner(
        oracle=OptunaOracle("val_accuracy", max_trials=20, study="digits"), hypermodel=build
    )
    tuner.search(x, y, epochs=10, validation_data=(x_val, y_val))

KerasTuner calls an oracle only at the start and the end of a trial, and a tuner has no hook to prune in. But at the end
of each epoch its checkpointing calls `objective.has_value`: the oracle replaces that method, reports to Optuna, and
ends a trial with KerasTuner's `FailedTrialError`. Optuna's study is authoritative: KerasTuner's files may be missing or
behind.
"""

from __future__ import annotations

import atexit
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from pipelines.integrations.oracle_names import make_queue_name
from pipelines.integrations.oracle_records import OracleLease, OracleRecorder
from pipelines.integrations.oracle_restart import begin_generation, is_overwriting
from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.samplers import check_sampler
from pipelines.search.space_evolution import find_current_name
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import SamplerName, SearchSpec
from pipelines.study.objective import Objective
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from search_spaces.hypermodel_request import make_request
from search_spaces.hyperparameters import TrialHyperParameters
from search_spaces.space import Space
from search_spaces.values import Direction, Value
from tracking.store.database import Store
from tracking.store.tables import now_ms

_PRUNED = "pruned after epoch "
# The most that a study file may have.
_NO_LIMIT = 1_000_000


class TrialPrunedError(keras_tuner.errors.FailedTrialError):  # type: ignore[misc]  # keras_tuner has no types
    """Signal that ends the training of a pruned trial."""


@dataclass
class _RunningTrial:
    """A trial in training."""

    number: int
    started: float
    best: float | None = None
    pruned: bool = False
    epochs: list[tuple[int, int, Mapping[str, float]]] = field(default_factory=list)


class OptunaOracle(keras_tuner.Oracle):  # type: ignore[misc]  # keras_tuner has no types
    """An oracle backed by an Optuna study, for one tuner in one process."""

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = 10,
        *,
        study: str,
        home: str | None = None,
        sampler: SamplerName = "gp",
        pruner: Literal["none", "median", "hyperband"] = "median",
        epochs: int = 100,
        startup_trials: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        """Open the study, or continue it.

        Args:
            objective: as KerasTuner takes it.
            max_trials: trials in total, those of earlier processes included; None for as many as there are points.
            study: the study's name in Optuna and MLflow; the same name continues the same study.
            home: folder of the database; see `Home`.
            sampler: as `search.sampler` in a study file, `auto` for `gp`; none tries a combination twice.
            pruner: Optuna's pruner.
            epochs: the most that a trial trains, for the pruner's rungs.
            startup_trials: as `search.startup_trials` in a study file.
            seed: of the sampler.
            options: other options of `keras_tuner.Oracle`: `hyperparameters`, `tune_new_entries`, ...

        Raises:
            InputError: if KerasTuner is configured to run distributed, the study has another objective, or the
                sampler needs a package that is not installed.
            StudyBusyError: if another process searches the study.
        """
        if os.environ.get("KERASTUNER_ORACLE_IP"):
            raise InputError("OptunaOracle serves one tuner in one process: unset KERASTUNER_ORACLE_IP")
        check_sampler(sampler)
        super().__init__(objective=objective, max_trials=max_trials, seed=seed or None, **options)
        direction: Direction = "maximize" if self.objective.direction == "max" else "minimize"
        spec = SearchSpec(sampler=sampler, pruner=pruner, seed=seed, startup_trials=startup_trials)
        place = Home.find(home)
        self._study = study
        self._store = Store.open(place.store)
        goal = Objective(self.objective.name, direction)
        self._settings = SearchSettings(Space(), goal, spec, epochs, draws_on_request=True)
        self._lease = OracleLease(study, goal, max_trials or _NO_LIMIT, self._store)
        self._storage = self._store.open_optuna_storage()
        self._search = self._open(find_current_name(self._storage, make_queue_name(study)))
        self._recorder = OracleRecorder(study, goal, spec, place, self._store)
        self._running: dict[str, _RunningTrial] = {}
        self._numbers: dict[str, int] = {}
        self._earlier_names: set[str] | None = None
        self._restore()
        self._watch_epochs()
        # KerasTuner does not call its oracle when a search ends by an error or by Ctrl-C.
        atexit.register(self.close)

    def close(self) -> None:
        """Deliver the waiting records to MLflow if it is reachable, and release the study; safe to call twice."""
        self._recorder.stop()
        self._lease.release(self._search.trials)

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]  # keras_tuner has no types
    def create_trial(self, tuner_id: str) -> Trial:
        """Return the next trial; Optuna suggests the values of hyperparameters that only its model requests."""
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED:
            self._recorder.record_end(self._search.trials)
            self._lease.release(self._search.trials, is_finished=True)
        if trial.status != TrialStatus.RUNNING:
            return trial
        known, number = dict(trial.hyperparameters.values), self._numbers[trial.trial_id]
        if trial.trial_id not in self._running:  # a retry
            self._running[trial.trial_id] = _RunningTrial(number, time.monotonic())
        trial.hyperparameters = self._make_hyperparameters(number, trial.hyperparameters)
        self._recorder.record_start([each.name for each in self.hyperparameters.space])
        self._recorder.record_trial_start(number, known)
        return trial

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the trial's values of all active hyperparameters that are known so far."""
        self._notice_new_hyperparameters()
        next_trial = self._search.ask()
        if next_trial is None:
            if not self._search.is_exhausted:  # a trial at work has yet to draw its values
                return {"status": TrialStatus.IDLE}
            print(f"{self._study}: every combination was tried, in {len(self._search.trials)} trials")
            return {"status": TrialStatus.STOPPED}
        number, _ = next_trial
        self._numbers[trial_id] = number
        self._running[trial_id] = _RunningTrial(number, time.monotonic())
        return {"status": TrialStatus.RUNNING, "values": self._collect_known(number).values}

    def score_trial(self, trial: Trial) -> None:
        """Score a trial; a score that is not finite is none."""
        super().score_trial(trial)
        if not math.isfinite(trial.score):
            # KerasTuner takes NaN for a failure; an infinite score it would rank.
            trial.score = math.nan

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]  # keras_tuner has no types
    def end_trial(self, trial: Trial) -> None:
        """Record a trial's end, unless KerasTuner tries it again."""
        try:
            super().end_trial(trial)
        finally:  # KerasTuner raises after too many failures in a row; this last one must be recorded too
            ended = self.trials[trial.trial_id]
            if ended.status in (TrialStatus.COMPLETED, TrialStatus.FAILED):
                self._record_end(ended)
            else:
                self._running.pop(trial.trial_id, None)

    def reload(self) -> None:
        """Read KerasTuner's files of the project, and its trials from Optuna."""
        super().reload()
        self._restore()

    def _set_project_dir(self, directory: str, project_name: str) -> None:
        """Set the folder of KerasTuner's files, its first call of an oracle, and begin anew if that is wanted."""
        super()._set_project_dir(directory, project_name)
        if not self._search.trials:
            return
        count = f"{len(self._search.trials)} trials"
        if is_overwriting():
            print(f"overwrite=True: study {self._study} begins anew; the runs of its {count} so far stay in MLflow")
            self._search = self._open(begin_generation(self._storage, make_queue_name(self._study)))
            self._restore()
        elif "://" not in str(directory) and not Path(directory, project_name).exists():
            print(
                f"study {self._study} goes on after {count}, whose models are not in {Path(directory, project_name)}; "
                "overwrite=True begins it anew"
            )

    def _notice_new_hyperparameters(self) -> None:
        """Let points be tried again if the code requests a hyperparameter that no trial of an earlier process had."""
        if self._earlier_names is None:
            return
        if {each.name for each in self.hyperparameters.space if make_request(each).is_drawn} - self._earlier_names:
            self._search.forget_points()
        self._earlier_names = None  # what this process finds, its trials show

    def _open(self, name: str) -> OptunaSearch:
        return OptunaSearch(self._storage, name, self._settings)

    def _collect_known(self, number: int) -> keras_tuner.HyperParameters:
        """Return the hyperparameters that are known so far, with a trial's values of those that are active."""
        hp = self.hyperparameters.copy()
        hp.values = {}
        for each in hp.space:
            if each.name not in hp.values and hp.is_active(each):
                hp.values[each.name] = self._search.suggest_value(number, make_request(each))
        return hp

    def _make_hyperparameters(self, number: int, known: keras_tuner.HyperParameters) -> TrialHyperParameters:
        """Return hyperparameters with the known values; Optuna suggests those of further requests."""

        def draw(hyperparameter: Any) -> Value:
            request = make_request(hyperparameter)
            if not self.tune_new_entries or number not in {each.number for each in self._running.values()}:
                return request.default
            return self._search.suggest_value(number, request)

        hp = TrialHyperParameters({}, draw)
        hp._hps, hp._space, hp.values = known._hps, known._space, dict(known.values)
        return hp

    def _restore(self) -> None:
        """Rebuild KerasTuner's trials from Optuna's; interrupted ones run again first."""
        interrupted = {number for number, _ in self._search.resume_interrupted()}
        names = {name for summary in self._search.trials for name in summary.params}
        self._earlier_names = names if self._search.trials else None
        # KerasTuner's files keep the ids that they have: with more trials new ones are padded with more zeros.
        ids = {int(trial_id): trial_id for trial_id in self.trials if trial_id.isdecimal()}
        self._numbers.clear()
        for collection in (self.trials, self.start_order, self.end_order, self._retry_queue, self.ongoing_trials):
            collection.clear()
        for index, summary in enumerate(self._search.trials):
            trial_id = ids.get(index, f"{index:0{len(str(self.max_trials))}d}")
            self._numbers[trial_id] = summary.number
            self.trials[trial_id] = self._make_trial(summary, trial_id)
            self.start_order.append(trial_id)
            if summary.number in interrupted:
                # KerasTuner takes trials from the end, so the earliest stays there.
                self._retry_queue.insert(0, trial_id)
            else:
                self.end_order.append(trial_id)

    def _make_trial(self, summary: TrialSummary, trial_id: str) -> Trial:
        if summary.state == "running":  # Optuna suggests the same values again
            return Trial(
                self._make_hyperparameters(summary.number, self._collect_known(summary.number)),
                trial_id,
                TrialStatus.RUNNING,
            )
        hp = self.hyperparameters.copy()
        hp.values = dict(summary.params)
        complete = summary.state == "complete"
        trial = Trial(hp, trial_id, TrialStatus.COMPLETED if complete else TrialStatus.FAILED, summary.reason)
        trial.score, trial.best_step = summary.value if complete else None, (summary.best_epoch or 1) - 1
        return trial

    def _watch_epochs(self) -> None:
        """Replace the objective's `has_value`, the only call at the end of each epoch."""
        has_value = self.objective.has_value

        def record_epoch(logs: Mapping[str, Any]) -> bool:
            found = bool(has_value(logs))
            self._record_epoch({name: float(np.mean(value)) for name, value in logs.items()}, found)
            return found

        self.objective.has_value = record_epoch

    def _record_epoch(self, metrics: Mapping[str, float], found: bool) -> None:
        # One tuner in one process has one trial at a time.
        trial = next(iter(self.ongoing_trials.values()), None)
        running = self._running.get(trial.trial_id) if trial else None
        if running is None:
            return
        epoch = len(running.epochs)
        running.epochs.append((epoch, now_ms(), metrics))
        if not found:
            return
        value = float(self.objective.get_value(metrics))
        if math.isfinite(value) and (running.best is None or self.objective.better_than(value, running.best)):
            running.best = value
        if running.best is None:
            return
        self._search.report_epoch(running.number, epoch + 1, running.best)
        if epoch not in self._search.rungs:
            return
        # KerasTuner's tuner trains a trial in one call, which cannot be left and resumed.
        if self._search.decide_at_rung(running.number, epoch, running.best, can_pause=False) == "prune":
            # In `end_trial`, the next call of the tuner, only this mark distinguishes a pruned trial from a failed one.
            running.pruned = True
            raise TrialPrunedError(f"{_PRUNED}{epoch + 1}")

    def _check_consecutive_failures(self) -> None:
        """Raise as KerasTuner does, but do not count pruned trials as failures."""
        failed = [self.trials[trial_id].status == TrialStatus.FAILED for trial_id in self.end_order]
        pruned = [self._is_pruned(self.trials[trial_id]) for trial_id in self.end_order]
        last = [one and not other for one, other in zip(failed, pruned, strict=True)][-self._failure_limit :]
        if len(last) == self._failure_limit and all(last):
            message = self.trials[self.end_order[-1]].message or ""
            raise RuntimeError(f"{self._failure_limit} trials in a row failed, the last one with:\n{message}")

    @property
    def _failure_limit(self) -> int:
        return int(self.max_consecutive_failed_trials)

    def _is_pruned(self, trial: Trial) -> bool:
        # The message is a traceback, or after a restart the reason that Optuna has.
        return TrialPrunedError.__name__ in str(trial.message) or str(trial.message).startswith(_PRUNED)

    def _record_end(self, trial: Trial) -> None:
        running = self._running.pop(trial.trial_id)
        complete = trial.status == TrialStatus.COMPLETED
        summary = TrialSummary(
            number=running.number,
            state="complete" if complete else "pruned" if running.pruned else "failed",
            value=float(trial.score) if complete else running.best if running.pruned else None,
            params={name: value for name, value in trial.hyperparameters.values.items() if value is not None},
            best_epoch=trial.best_step + 1 if complete else None,
            seconds=time.monotonic() - running.started,
            reason=_find_reason(trial, running),
            metrics=_average_metrics(trial) if complete else {},
        )
        # The rows for MLflow first, then Optuna: a trial that is still RUNNING there runs again after a kill.
        self._recorder.record_trial_end(summary, running.epochs, [*self._search.trials, summary])
        self._search.tell(summary)


def _average_metrics(trial: Trial) -> dict[str, float]:
    """Return a trial's metrics at its best epoch, the mean over its trainings (`executions_per_trial`)."""
    found = {name: history.get_history() for name, history in trial.metrics.metrics.items()}
    means = {name: float(np.mean(points[-1].value)) for name, points in found.items() if points}
    return {name: value for name, value in means.items() if math.isfinite(value)}


def _find_reason(trial: Trial, running: _RunningTrial) -> str:
    if running.pruned:
        return f"{_PRUNED}{len(running.epochs)}"
    lines = [line for line in str(trial.message or "").splitlines() if line.strip()]
    return lines[-1][:500] if lines and trial.status == TrialStatus.FAILED else ""
