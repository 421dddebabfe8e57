"""Retrainings of a study's finalists: their jobs, from start to the stored result."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from pipelines.data.splits.division import Division
from pipelines.engines.attempts import RetryPolicy
from pipelines.engines.base import Event, Failed, Finished, Job, Reported, Requested
from pipelines.search.trial_summaries import TrialSummary
from pipelines.selection.ensemble import MEMBER
from pipelines.selection.finalists import COMPARED, REFIT, count_folds, derive_retraining_seed
from pipelines.selection.model_locations import discard_model
from pipelines.supervisor.events import RetrainingEnded
from pipelines.supervisor.fleet_planner import FleetPlanner
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.retraining_fleets import RetrainingFleets
from pipelines.supervisor.retraining_job import RetrainingJob
from pipelines.supervisor.trial_jobs import make_trial_job
from pipelines.training.checkpoint import remove_checkpoints
from pipelines.training.jobs import TRAIN_TRIAL
from pipelines.training.messages import EpochDone, TrialOutcome, TrialResult
from pipelines.training.trial_folder import ARTIFACTS, MODEL_FILE, WEIGHTS_FILE, read_epochs
from search_spaces.hypermodel_request import HyperparameterRequest
from tracking.store.retrainings import Retraining
from tracking.store.tables import now_ms

# The lease is renewed and requests are read between two ticks.
_TICK_S = 0.5


class RetrainingJobs:
    """The retrainings of one study.

    Args:
        study: the study.
        planner: the programs of trials that train in fleets; None where each trains alone.
        bystander: receives the events of other jobs.

    Attributes:
        notes: retrainings that failed, with the reasons.
    """

    def __init__(
        self,
        study: OpenStudy,
        planner: FleetPlanner | None = None,
        bystander: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._study = study
        self._context = study.context
        self._engine = study.engine
        self._recorder = study.recorder
        limits = study.context.spec.limits
        self._policy = RetryPolicy(limits.attempts)  # each attempt has the whole time limit
        self._fleets = RetrainingFleets(study, planner, self._record_start, self._record_outcome)
        self._bystander = bystander
        self.notes: list[str] = []

    def make_job(
        self, trial: TrialSummary, name: str, division: Division | None = None, epochs: int | None = None
    ) -> RetrainingJob:
        """Return a retraining of a trial, not yet started.

        Args:
            trial: the trial.
            name: name of the retraining within it.
            division: rows that it trains on; None for those of the trial.
            epochs: train exactly so many epochs; None trains as the trial.
        """
        context, home = self._context, self._context.home
        data = home.locate_data(context.name)
        if division is not None:
            data = home.locate_retraining_data(context.name, division.name)
        job = make_trial_job(context, trial.number, trial.params)
        job = replace(
            job,
            training=job.training.model_copy(update={"seeds": 1}),  # a retraining is one seed itself
            seed=derive_retraining_seed(context.spec.search.seed, trial.number, name),
            data=str(data),
            folder=str(home.locate_retraining(context.name, trial.number, name)),
            refit_epochs=epochs,
            keeps_folds=bool(context.spec.selection.ensemble) and name.startswith("folds-"),
        )
        does_more = division is not None or epochs is not None or job.keeps_folds or name.startswith(MEMBER)
        may_join = trial.trainer == "fleet" and not does_more
        return RetrainingJob(trial.number, name, dict(trial.params), job, may_join_fleet=may_join)

    def run(self, due: list[RetrainingJob]) -> Iterator[RetrainingEnded]:
        """Run retrainings, as many at once as there are workers; each is stored when it ends.

        Raises:
            HaltedError: if a pause or a cancellation was requested; the running ones are lost.
            OSError: if the disk is full.
        """
        running = dict[str, RetrainingJob]()
        self._fleets.add(due)
        waiting = self._fleets.alone
        try:
            while waiting or running or self._fleets:
                self._study.control.keep_alive_unless_halted()
                self._fleets.start_next()
                while waiting and self._engine.idle:
                    training = waiting.pop(0)
                    running[training.name] = training
                    self._start(training)
                for event in self._engine.events(_TICK_S):
                    if event.job in self._fleets:
                        yield from self._fleets.handle(event)
                        continue
                    if (training_of := running.get(event.job)) is None:
                        self._bystander(event)
                        continue
                    ended = self._handle(training_of, event)
                    if isinstance(event, Finished | Failed):
                        del running[event.job]
                        if ended is None:
                            # Before the others, because it continues from its last checkpoint.
                            waiting.insert(0, training_of)
                        else:
                            yield ended
                self._recorder.flush_epochs([*running.values(), *self._fleets.training])
        finally:
            # Also where the caller closes this generator: no worker may train for nobody.
            for name in [name for name in self._engine.busy if name in running or name in self._fleets]:
                self._engine.stop(name)

    def _record_start(self, training: RetrainingJob) -> None:
        training.started_ms, training.started = now_ms(), time.monotonic()
        self._recorder.record_retraining_start(training.number, training.retraining, training.params)

    def _start(self, training: RetrainingJob) -> None:
        limits = self._context.spec.limits
        self._record_start(training)
        folder = self._context.home.locate_retraining(self._context.name, training.number, training.retraining)
        self._engine.submit(
            Job(
                training.name,
                TRAIN_TRIAL,
                training.job,
                folder / ARTIFACTS / "worker.log",
                time_s=limits.trial_time,
                stall_s=limits.stall,
                memory_bytes=self._study.memory_bytes,
                devices=training.job.cpu_devices,
                data=Path(training.job.data),
            )
        )

    def _handle(self, training: RetrainingJob, event: Event) -> RetrainingEnded | None:
        """Record an event of a retraining's job; return its end, or None while it has none."""
        if isinstance(event, Reported) and isinstance(event.message, EpochDone):
            training.unsent.append(event.message)
        elif isinstance(event, Requested):
            request = event.message
            is_known = isinstance(request, HyperparameterRequest)
            # Anything else is a rung, and a retraining is not pruned.
            self._engine.answer(event.job, training.params.get(request.name, request.default) if is_known else False)
        elif isinstance(event, Finished):
            return self._record_outcome(training, event.result)
        elif isinstance(event, Failed):
            if event.kind == "disk":
                raise OSError(errno.ENOSPC, event.reason)
            training.spent_s.append(time.monotonic() - training.started)
            if not self._policy.allows_retry(event, training.spent_s):
                return self._record_end(training, None, event.reason)
        return None

    def _record_outcome(self, training: RetrainingJob, outcome: TrialOutcome) -> RetrainingEnded:
        result, reason = outcome.result, outcome.reason
        if result is not None and (reason := training.find_defect(result.value)):
            result = None
        return self._record_end(training, result, reason)

    def _record_end(self, training: RetrainingJob, result: TrialResult | None, reason: str) -> RetrainingEnded:
        folder = self._context.home.locate_retraining(self._context.name, training.number, training.retraining)
        retraining = Retraining(
            study=self._context.name,
            number=training.number,
            name=training.retraining,
            seed=training.job.seed,
            state="failed" if result is None else "complete",
            value=result.value if result else None,
            scores=self._read_scores(training, result) if result else (),
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
        keeps = training.retraining == REFIT and result is not None
        if training.retraining == REFIT and not keeps:
            discard_model(folder)
        # A finalist is chosen by its scores alone; other models are scored or averaged afterwards.
        elif not keeps and not training.retraining.startswith((COMPARED, MEMBER)):
            for name in (MODEL_FILE, WEIGHTS_FILE):
                (folder / name).unlink(missing_ok=True)
        curve = result.epochs if result else ()
        self._recorder.record_retraining_end(retraining, training.unsent, keeps_model=keeps, curve=curve)
        # After the record: before it, a kill would lose the whole training.
        remove_checkpoints(folder)
        return _make_event(retraining)

    def _read_scores(self, training: RetrainingJob, result: TrialResult) -> tuple[float, ...]:
        """Return the objective of each training in a retraining: of each fold where finalists are ranked by folds."""
        context = self._context
        if count_folds(training.retraining, 1) == 1:
            return (result.value,)
        best: dict[int, float] = {}
        for done in read_epochs(context.home.locate_retraining(context.name, training.number, training.retraining)):
            value = done.metrics.get(context.objective.metric)
            if value is not None and (done.fold not in best or context.objective.is_better(value, best[done.fold])):
                best[done.fold] = value
        return tuple(best[fold] for fold in sorted(best))


def _make_event(retraining: Retraining) -> RetrainingEnded:
    return RetrainingEnded(
        retraining.number,
        retraining.name,
        retraining.state,
        retraining.value,
        retraining.reason,
        retraining.seconds,
    )
