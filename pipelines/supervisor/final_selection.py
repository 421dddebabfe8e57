"""The end of a study whose winner is chosen with care: its finalists trained again, the winner made ready to hand over.

Each of these trainings is stored when it ends, so that a pause or a crash costs what was under way alone.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from pipelines.data.jobs import PREPARE_DATA, DataJob
from pipelines.data.prepared import DataSummary
from pipelines.engines.base import Engine, Event, Failed, Finished, Job, Reported, Requested
from pipelines.engines.run_job import run_job
from pipelines.export.jobs import BUILD_ENSEMBLE
from pipelines.recording.recorder import Recorder
from pipelines.search.optuna_search import OptunaSearch, TrialSummary, best_first
from pipelines.selection.finalists import ENSEMBLE, REFIT, Finalist, finalists_of, retraining_seed, retrainings_wanted
from pipelines.selection.model_locations import EnsembleJob, past_trial
from pipelines.study.objective import Objective
from pipelines.study.study import Study
from pipelines.supervisor.events import FinalistsChosen, RetrainingEnded, StudyEvent
from pipelines.supervisor.running_trials import COST_A_WORKER, make_trial_job
from pipelines.training.checkpoint import remove_checkpoints
from pipelines.training.jobs import TRAIN_TRIAL
from pipelines.training.messages import EpochDone, TrialJob, TrialResult, UserModel
from pipelines.training.trial_folder import ARTIFACTS, MODEL_FILE, read_epochs
from pipelines.workspace.home import Home
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.values import Value
from tracking.store.database import now_ms
from tracking.store.retrainings import Retraining, Retrainings
from tracking.testing.failpoints import hit

_TICK_S = 0.5


@dataclass
class _Training:
    """A retraining that is due or under way."""

    number: int
    retraining: str
    params: dict[str, Value]
    job: TrialJob
    started_ms: int = 0
    started: float = 0.0
    attempts: int = 0
    unsent: list[EpochDone] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"trial-{self.number}-{self.retraining}"


class FinalSelection:
    """Chooses a study's winner; called by its supervisor alone, when no trial is under way.

    Args:
        alive: called about twice a second; what it raises ends the trainings under way.
        memory_bytes: the most that a worker may hold.

    Attributes:
        winner: the trial that won; the best one until it is chosen.
        finalists: what it was chosen from, by their means; empty where nothing was trained again.
        ensemble: the finalists' models averaged, where that beats the winner's.
        notes: what did not come out as the study file asks for, and why.
    """

    def __init__(
        self,
        study: Study,
        objective: Objective,
        summary: DataSummary,
        home: Home,
        engine: Engine,
        search: OptunaSearch,
        recorder: Recorder,
        retrainings: Retrainings,
        user_model: UserModel | None,
        alive: Callable[[], None],
        memory_bytes: int,
    ) -> None:
        self._study = study
        self._objective = objective
        self._summary = summary
        self._home = home
        self._engine = engine
        self._recorder = recorder
        self._retrainings = retrainings
        self._user_model = user_model
        self._alive = alive
        self._memory_bytes = memory_bytes
        self._best = best_first(search.trials(), objective)
        self.winner: TrialSummary | None = next(iter(self._best), None)
        self.finalists: tuple[Finalist, ...] = ()
        self.ensemble: Retraining | None = None
        self.notes: list[str] = []

    @property
    def hands_over(self) -> str:
        """Return the winner's retraining whose model is handed over; empty for the trial's own."""
        return REFIT if self._study.spec.selection.refit and self._stored(REFIT) is not None else ""

    def run(self) -> Iterator[StudyEvent]:
        """Train what the study file asks for, and say what happens.

        Raises:
            InputError: if the data cannot be divided anew.
            JobError: if the data cannot be prepared or the ensemble not be made.
            OSError: if the disk is full.
        """
        selection = self._study.spec.selection
        if self.winner is None:
            return
        if selection.finalists:
            yield from self._choose(self._best[: selection.finalists])
        if selection.refit:
            yield from self._refit(self.winner)
        if selection.ensemble and len(self.finalists) > 1:
            self.ensemble = self._average(self.winner)
        hit("winner-chosen")

    # The winner ----------------------------------------------------------------------------------------------

    def _choose(self, among: list[TrialSummary]) -> Iterator[StudyEvent]:
        selection = self._study.spec.selection
        wanted = [(trial, name) for name in retrainings_wanted(selection) for trial in among]
        done = {(each.number, each.name) for each in self._stored_all() if each.state == "complete"}
        due = [self._training(trial, name) for trial, name in wanted if (trial.number, name) not in done]
        if due:
            if selection.folds is not None:
                self._divide(selection.folds)
            yield FinalistsChosen(tuple(trial.number for trial in among), len(due))
            yield from self._train(due)
        self.finalists = finalists_of(self._best, self._stored_all(), selection, self._objective)
        if self.finalists:
            self.winner = next(trial for trial in among if trial.number == self.finalists[0].number)

    def _refit(self, winner: TrialSummary) -> Iterator[StudyEvent]:
        epochs = self._best_epochs(winner)
        stored = self._stored(REFIT)
        if stored is not None and stored.epochs == epochs:
            return
        self._divide(1)
        training = self._training(winner, REFIT)
        training.job = replace(training.job, data=str(self._home.data_anew(self._study.name, 1)), refit_epochs=epochs)
        yield from self._train([training])

    def _best_epochs(self, winner: TrialSummary) -> int:
        """Return the epochs that were best for the winner: the mean over its retrainings, or else its own."""
        names = retrainings_wanted(self._study.spec.selection) if self.finalists else ()
        found = [
            each.epochs
            for each in self._stored_all()
            if each.number == winner.number and each.name in names and each.epochs is not None
        ]
        return round(sum(found) / len(found)) if found else winner.best_epoch or 1

    def _average(self, winner: TrialSummary) -> Retraining | None:
        """Return the ensemble of the finalists where it beats the winner, on the rows that no model was trained on."""
        parts = tuple(sorted(finalist.number for finalist in self.finalists))
        stored = self._stored(ENSEMBLE)
        if stored is not None and stored.parts == parts:
            return stored if stored.state == "complete" else None
        folder = self._home.retraining(self._study.name, winner.number, ENSEMBLE)
        trials = tuple(past_trial(self._home, self._study.name, number) for number in parts)
        payload = EnsembleJob(trials, parts.index(winner.number), str(folder))
        job = Job("ensemble", BUILD_ENSEMBLE, payload, folder / "worker.log")
        started_ms, started = now_ms(), time.monotonic()
        ours, winners, metric = run_job(self._engine, job, self._alive)
        minimize = self._objective.direction == "minimize"
        beats = ours < winners if minimize else ours > winners
        made = Retraining(
            study=self._study.name,
            number=winner.number,
            name=ENSEMBLE,
            seed=0,
            state="complete" if beats else "failed",
            value=ours,
            scores=(ours, winners),
            metrics={f"val_{metric}": ours},
            epochs=None,
            seconds=time.monotonic() - started,
            started_ms=started_ms,
            ended_ms=now_ms(),
            reason="" if beats else f"val_{metric} {ours:.6g} does not beat the winner's {winners:.6g}",
            parts=parts,
        )
        self._recorder.record_ensemble(made)
        return made if beats else None

    # Training ------------------------------------------------------------------------------------------------

    def _training(self, trial: TrialSummary, name: str) -> _Training:
        study = self._study
        folds = study.spec.selection.folds
        data = self._home.data(study.name) if folds is None else self._home.data_anew(study.name, folds)
        job = make_trial_job(study, self._objective, self._home, trial.number, trial.params, user_model=self._user_model)
        job = replace(
            job,
            seed=retraining_seed(study.spec.search.seed, trial.number, name),
            data=str(data),
            folder=str(self._home.retraining(study.name, trial.number, name)),
        )
        return _Training(trial.number, name, dict(trial.params), job)

    def _divide(self, folds: int) -> None:
        """Prepare the study's data in another division, unless that is done."""
        study = self._study
        folder = self._home.data_anew(study.name, folds)
        payload = DataJob(
            study.spec.data, str(study.base), str(folder), study.prefers, self._summary.digest, folds_again=folds
        )
        log = self._home.study(study.name) / f"{folder.name}.log"
        run_job(self._engine, Job("data", PREPARE_DATA, payload, log), self._alive)

    def _train(self, due: list[_Training]) -> Iterator[StudyEvent]:
        waiting, running = list(due), dict[str, _Training]()
        try:
            while waiting or running:
                self._alive()
                while waiting and self._engine.idle:
                    training = waiting.pop(0)
                    running[training.name] = training
                    self._begin(training)
                for event in self._engine.events(_TICK_S):
                    if (heard := running.get(event.job)) is None:
                        continue
                    ended = self._heard(heard, event)
                    if isinstance(event, Finished | Failed):
                        del running[event.job]
                        if ended is None:
                            waiting.insert(0, heard)
                        else:
                            yield ended
                self._recorder.flush_epochs(running.values())
        finally:
            for name in self._engine.busy:
                self._engine.stop(name)

    def _begin(self, training: _Training) -> None:
        limits = self._study.spec.limits
        training.started_ms, training.started = now_ms(), time.monotonic()
        training.attempts += 1
        self._recorder.record_retraining_start(training.number, training.retraining, training.params)
        folder = self._home.retraining(self._study.name, training.number, training.retraining)
        self._engine.submit(
            Job(
                training.name,
                TRAIN_TRIAL,
                training.job,
                folder / ARTIFACTS / "worker.log",
                time_s=limits.trial_time,
                stall_s=limits.stall,
                memory_bytes=self._memory_bytes,
            )
        )

    def _heard(self, training: _Training, event: Event) -> RetrainingEnded | None:
        """Take note of what a training says; return its end, or None where it has not come to one."""
        if isinstance(event, Reported) and isinstance(event.message, EpochDone):
            training.unsent.append(event.message)
        elif isinstance(event, Requested):
            known = isinstance(event.message, HyperparameterRequest)
            self._engine.answer(event.job, self._answer(training, event.message) if known else False)
        elif isinstance(event, Finished):
            return self._ended(training, event.result.result, event.result.reason)
        elif isinstance(event, Failed):
            if event.kind == "disk":
                raise OSError(errno.ENOSPC, event.reason)
            if event.kind not in COST_A_WORKER or training.attempts >= self._study.spec.limits.attempts:
                return self._ended(training, None, event.reason)
        return None

    @staticmethod
    def _answer(training: _Training, request: HyperparameterRequest) -> Value:
        return training.params.get(request.name, request.default)

    def _ended(self, training: _Training, result: TrialResult | None, reason: str) -> RetrainingEnded:
        folder = self._home.retraining(self._study.name, training.number, training.retraining)
        retraining = Retraining(
            study=self._study.name,
            number=training.number,
            name=training.retraining,
            seed=training.job.seed,
            state="failed" if result is None else "complete",
            value=result.value if result else None,
            scores=self._scores(training, result) if result else (),
            metrics=dict(result.metrics) if result else {},
            epochs=result.best_epoch + 1 if result else None,
            seconds=result.seconds if result else time.monotonic() - training.started,
            started_ms=training.started_ms,
            ended_ms=now_ms(),
            trainer=result.trainer if result else "",
            reason="" if result else reason,
        )
        if result is None:
            self.notes.append(f"{training.retraining} of trial {training.number} failed: {reason}")
        keeps = training.retraining == REFIT
        if not keeps:  # only its scores are wanted
            (folder / MODEL_FILE).unlink(missing_ok=True)
        self._recorder.record_retraining_end(retraining, training.unsent, keeps_model=keeps)
        remove_checkpoints(folder)
        return RetrainingEnded(
            retraining.number,
            retraining.name,
            retraining.state,
            retraining.value,
            retraining.reason,
            retraining.seconds,
        )

    def _scores(self, training: _Training, result: TrialResult) -> tuple[float, ...]:
        """Return the objective of each training in a retraining: of each fold where folds are what it is ranked by."""
        if self._study.spec.selection.folds is None or training.retraining == REFIT:
            return (result.value,)
        best: dict[int, float] = {}
        for done in read_epochs(self._home.retraining(self._study.name, training.number, training.retraining)):
            value = done.metrics.get(self._objective.metric)
            if value is not None and (done.fold not in best or self._objective.is_better(value, best[done.fold])):
                best[done.fold] = value
        return tuple(best[fold] for fold in sorted(best))

    def _stored_all(self) -> tuple[Retraining, ...]:
        return self._retrainings.list(self._study.name)

    def _stored(self, name: str) -> Retraining | None:
        """Return the winner's retraining of a name, if it is complete, or an ensemble that was made."""
        if self.winner is None:
            return None
        found = (each for each in self._stored_all() if (each.number, each.name) == (self.winner.number, name))
        return next((each for each in found if each.state == "complete" or name == ENSEMBLE), None)
