"""Runs one study from its file to its winner: the only writer of a study.

The flow reads downward in `Supervisor.run`. Workers hold no state worth keeping: everything they say is written
here, each fact in an order that leaves nothing to guess after a kill: the worker's files, then the rows for MLflow,
then Optuna. What is found RUNNING in Optuna at the start is taken up from whichever of those steps it reached.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from sqlalchemy import Connection

from pipelines.asked import given_up_front, most_epochs, own_model, read_asked, undeclared
from pipelines.data.prepared import DataSummary
from pipelines.engines.alone import JobError, run_alone
from pipelines.engines.engine import Asked, Engine, Event, Failed, Finished, Job, Reported
from pipelines.evolution import current_name
from pipelines.files import write_text
from pipelines.fleets import Fleets, Trial
from pipelines.home import Home
from pipelines.progress import (
    Delivering,
    EpochEnded,
    Progress,
    SearchBegun,
    StudyEnded,
    TrialBegun,
    TrialEnded,
)
from pipelines.recording import Recorder
from pipelines.search import Scored, Search, best_of, count_by_state
from pipelines.selection import evaluation_job, models_job
from pipelines.study_file import Study
from pipelines.training.checkpoint import remove_checkpoints
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.fleet.seam import FleetEpoch, FleetJob, MemberFailed, RungsReached, SeatsFree
from pipelines.training.trainer import (
    ARTIFACTS,
    EpochDone,
    Fatal,
    Rejected,
    RungReached,
    TrialJob,
    TrialResult,
    read_epochs,
    read_result,
)
from search_spaces.question import Question
from search_spaces.suggest import ConstraintViolated
from tracking.outbox import Outbox, OutboxDelivery
from tracking.records import StudyState, Value
from tracking.store import Store
from tracking.study_queue import StudyQueue, this_process

_TICK_S = 0.5
_LEASE_TTL_S = 60.0
_RENEW_EVERY_S = 10.0
_SHARE_OF_MEMORY = 0.9
_FIRST_FAILURES = 10
_FLUSH_S = 120.0
_SHORT_FLUSH_S = 5.0
_FAILURE_FILE = "failure.json"


@dataclass
class _Fleet:
    """A fleet in a worker: the trials that wait to be handed over to it, and those that sit in it."""

    envelope: Envelope
    assigned: list[Trial]
    seated: set[int] = field(default_factory=set)


@dataclass
class _Running:
    """A trial in a worker; `told` says how many of its parameters were recorded since it started."""

    number: int
    params: Mapping[str, Value]
    started: float
    unsent: list[EpochDone] = field(default_factory=list)
    told: int = 0


@dataclass(frozen=True)
class _Failure:
    """How a trial failed; kept in its folder until Optuna knows."""

    reason: str
    seconds: float


class Supervisor:
    """One study at work.

    Args:
        summary: the study's prepared data.
        delivery: the thread that takes rows to MLflow; started and stopped here.
    """

    def __init__(
        self, study: Study, summary: DataSummary, home: Home, store: Store, engine: Engine, delivery: OutboxDelivery
    ) -> None:
        self._study = study
        self._summary = summary
        self._home = home
        self._queue = StudyQueue(store)
        self._outbox = Outbox(store)
        self._engine = engine
        self._delivery = delivery
        self._store = store
        self._objective = study.objective(summary.task.kind)
        self._asked = read_asked(home.study(study.name)) if study.has_own_model else ()
        self._undeclared = undeclared(self._asked, study.space.parameters) if study.searches_undeclared else ()
        self._running: dict[int, _Running] = {}
        self._fleet_jobs: dict[str, _Fleet] = {}
        self._fleets_begun = 0
        self._stop_asking = ""
        self._failure = ""
        self._fatal = ""
        self._parked = False
        self._counted_at = self._started = time.monotonic()

    def park(self) -> None:
        """Ask for a pause: running trials are put back and run again when the study is resumed.

        Safe to call from a signal handler.
        """
        self._parked = True

    def run(self) -> Iterator[Progress]:
        """Work until the budget is used up or `park` was called, saying what happens.

        Raises:
            StudyBusy: if another supervisor works on the study.
        """
        self._lease = self._queue.claim(self._study.name, this_process(), _LEASE_TTL_S)
        try:
            self._open()
            yield self._begin()
            yield from self._search_until_done()
            yield from self._end()
        finally:
            self._delivery.stop(0.0)  # only the holder of the lease may deliver
            self._count_time()
            self._queue.release(self._lease)

    # Opening -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        study = self._study
        storage = self._store.optuna_storage()
        self._search = Search(
            storage,
            current_name(storage, study.name),
            study.space,
            self._objective,
            study.spec.search,
            epochs=most_epochs(study, self._asked),
            up_front=given_up_front(study, self._asked),
            undeclared=self._undeclared,
        )
        names = [each.name for each in self._undeclared]
        self._recorder = Recorder(
            study, self._objective, self._home, self._store, self._search, self._check_lease, names
        )
        self._best = best_of(self._search.trials(), self._objective)
        self._fleets = Fleets(
            study,
            self._summary,
            trials=study.spec.budget.trials - sum(trial.state != "running" for trial in self._search.trials()),
            workers=self._engine.workers,
            memory_bytes=study.spec.limits.memory or self._fair_memory(),
        )
        self._queue.set_state(study.name, "running")
        self._recorder.study_opened(self._summary)
        self._delivery.start()

    def _alive(self) -> None:
        """Renew the lease and count working time, every now and then."""
        if time.monotonic() - self._counted_at > _RENEW_EVERY_S:
            self._lease = self._queue.renew(self._lease)
            self._count_time()

    def _check_lease(self, connection: Connection) -> None:
        self._queue.verify(self._lease, connection)

    def _count_time(self) -> None:
        now = time.monotonic()
        self._queue.add_elapsed(self._study.name, now - self._counted_at)
        self._counted_at = now

    def _elapsed_s(self) -> float:
        return self._queue.get(self._study.name).elapsed_s + time.monotonic() - self._counted_at

    def _begin(self) -> SearchBegun:
        return SearchBegun(
            study=self._study.name,
            data=self._summary,
            objective=self._objective,
            budget=self._study.spec.budget.trials,
            done=sum(trial.state != "running" for trial in self._search.trials()),
            best=self._best.value if self._best else None,
            workers=self._engine.workers,
            trained=self._fleets.sentence,
        )

    # Searching -----------------------------------------------------------------------------------------------

    def _search_until_done(self) -> Iterator[Progress]:
        self._interrupted = list(self._search.interrupted())
        while not (self._parked or self._fatal):
            self._alive()
            yield from self._fill_workers()
            if not (self._running or self._fleet_jobs):
                return
            for event in self._engine.events(_TICK_S):
                yield from self._handle(event)
            self._recorder.flush_epochs(self._running.values())
        seated = {number for fleet in self._fleet_jobs.values() for number in fleet.seated}
        for name in [*(_job_name(number) for number in self._running if number not in seated), *self._fleet_jobs]:
            self._engine.stop(name)

    def _fill_workers(self) -> Iterator[Progress]:
        """Give every idle worker a trial of its own or a fleet, asking for trials as long as there is none."""
        while self._engine.idle and not self._parked:
            if (alone := self._fleets.next_alone()) is not None:
                (number, values), reason = alone
                yield from self._start(number, values, reason)
            elif self._fleets.full(len(self._fleet_jobs)):
                return
            elif (group := self._fleets.next_fleet()) is not None:
                self._start_fleet(*group)
            else:
                ended = self._draw()
                if ended is None:
                    return
                yield from ended

    def _draw(self) -> list[Progress] | None:
        """Let the next trial wait for a worker or a seat; None where there is no further one.

        Returns what happened besides: the end of a trial that was over before a crash.
        """
        if self._interrupted:
            number, values = self._interrupted.pop(0)
            if (ended := self._ended_before(number, values)) is not None:
                return [ended]
        else:
            asked = self._ask()
            if asked is None:
                return None
            number, values = asked
            # Files of that number can only be another store's.
            shutil.rmtree(self._home.trial(self._study.name, number), ignore_errors=True)
        self._fleets.add(number, values)
        return []

    def _ended_before(self, number: int, values: Mapping[str, Value]) -> TrialEnded | None:
        """Record the end of a trial that was over before a crash; return None for one that was not."""
        folder = self._home.trial(self._study.name, number)
        running = _Running(number, values, time.monotonic(), list(read_epochs(folder)))
        if (result := read_result(folder)) is not None:
            return self._finished(running, result)
        if (failure := _read_failure(folder)) is not None:
            return self._failed(running, failure)
        return None

    def _ask(self) -> tuple[int, Mapping[str, Value]] | None:
        self._stop_asking = self._stop_asking or self._reason_to_stop()
        if self._stop_asking:
            return None
        with self._store.read() as connection:
            self._check_lease(connection)
        try:
            asked = self._search.ask()
        except ConstraintViolated as violation:
            self._stop_asking = f"no further point keeps the constraints: {violation}"
            return None
        if asked is None:
            self._stop_asking = "every point of the grid was tried"
        return asked

    def _reason_to_stop(self) -> str:
        budget = self._study.spec.budget
        if self._search.begun >= budget.trials:
            return "1 trial" if budget.trials == 1 else f"{budget.trials} trials"
        if budget.time is not None and self._elapsed_s() >= budget.time:
            return f"time budget of {budget.time:g} s used up"
        trials = self._search.trials()
        if self._failure:
            return self._failure
        best = self._best
        if best is None or best.value is None:
            return ""
        if budget.target is not None and not self._objective.is_better(budget.target, best.value):
            return f"target {budget.target:g} reached"
        since = sum(trial.number > best.number and trial.state in ("complete", "pruned") for trial in trials)
        if budget.patience is not None and since >= budget.patience:
            return f"no better score in {since} trials"
        return ""

    def _start(self, number: int, values: Mapping[str, Value], reason: str) -> Iterator[Progress]:
        """Start a trial in a worker of its own, for a reason."""
        spec = self._study.spec
        job = self._begun(number, values, {"kerastudy.why_alone": reason})
        self._engine.submit(
            Job(
                _job_name(number),
                "pipelines.training.trial:train_trial",
                job,
                Path(job.folder) / ARTIFACTS / "worker.log",
                time_s=spec.limits.trial_time,
                stall_s=spec.limits.stall,
                memory_bytes=spec.limits.memory or self._fair_memory(),
            )
        )
        yield TrialBegun(number, values)

    def _start_fleet(self, envelope: Envelope, seats: int) -> None:
        """Start a fleet; it asks for its trials when its program is ready."""
        spec = self._study.spec
        self._fleets_begun += 1
        name = f"fleet-{self._fleets_begun}"
        self._fleet_jobs[name] = _Fleet(envelope, self._fleets.take(envelope, seats))
        job = FleetJob(
            envelope=envelope,
            seats=seats,
            data=str(self._home.data(spec.study)),
            training=spec.training,
            metric=self._objective.metric,
            direction=self._objective.direction,
            per_layer=self._study.per_layer,
            trial_s=spec.limits.trial_time,
        )
        self._engine.submit(
            Job(
                name,
                "pipelines.training.fleet.job:train_fleet",
                job,
                self._home.study(spec.study) / f"{name}.log",
                stall_s=spec.limits.stall,
                memory_bytes=spec.limits.memory or self._fair_memory(),
                backend="jax",
            )
        )

    def _begun(self, number: int, values: Mapping[str, Value], tags: Mapping[str, str]) -> TrialJob:
        """Record that a trial begins, with these tags, and return it as a worker gets it."""
        spec = self._study.spec
        self._running[number] = _Running(number, values, time.monotonic())
        self._recorder.trial_started(number, values, tags)
        return TrialJob(
            study=spec.study,
            number=number,
            values=values,
            per_layer=self._study.per_layer,
            seed=trial_seed(spec.search.seed, number),
            model=spec.model,
            training=spec.training,
            data=str(self._home.data(spec.study)),
            folder=str(self._home.trial(spec.study, number)),
            metric=self._objective.metric,
            direction=self._objective.direction,
            rungs=self._search.rungs,
            most_parameters=spec.limits.parameters,
            most_model_bytes=spec.limits.model_memory,
            own=own_model(self._study, self._asked),
        )

    def _fair_memory(self) -> int:
        return int(psutil.virtual_memory().total * _SHARE_OF_MEMORY / self._engine.workers)

    def _handle(self, event: Event) -> Iterator[Progress]:
        if (fleet := self._fleet_jobs.get(event.job)) is not None:
            yield from self._handle_fleet(fleet, event)
        elif (running := self._running.get(_number_of(event.job))) is not None:
            yield from self._handle_trial(running, event)

    def _handle_trial(self, running: _Running, event: Event) -> Iterator[Progress]:
        if isinstance(event, Reported) and isinstance(event.message, EpochDone):
            yield self._epoch(running, event.message)
            if self._study.has_own_model and running.told != len(running.params):
                running.told = len(running.params)
                self._recorder.parameters_drawn(running.number, running.params)
        elif isinstance(event, Asked) and isinstance(event.message, RungReached):
            reached = event.message
            self._engine.answer(event.job, self._search.should_prune(running.number, reached.epoch, reached.best))
        elif isinstance(event, Asked) and isinstance(event.message, Question):
            value = self._search.answer(running.number, event.message)
            running.params = {**running.params, event.message.name: value}
            self._engine.answer(event.job, value)
        elif isinstance(event, Finished) and isinstance(event.result, Fatal):
            self._fatal = f"trial {running.number} ended the search: {event.result.reason}"
            failed = Failed(event.job, "error", event.result.reason, event.result.traceback)
            yield self._gone(self._running.pop(running.number), failed)
        elif isinstance(event, Finished):
            yield self._over(running.number, event.result)
        elif isinstance(event, Failed):
            yield self._gone(self._running.pop(running.number), event)

    def _handle_fleet(self, fleet: _Fleet, event: Event) -> Iterator[Progress]:
        if isinstance(event, Reported) and isinstance(event.message, FleetEpoch):
            for number, done in event.message.epochs.items():
                yield self._epoch(self._running[number], done)
        elif isinstance(event, Asked) and isinstance(event.message, RungsReached):
            reached = event.message.best.items()
            pruned = [number for number, (epoch, best) in reached if self._search.should_prune(number, epoch, best)]
            self._engine.answer(event.job, frozenset(pruned))
        elif isinstance(event, Asked) and isinstance(event.message, SeatsFree):
            for number, result in event.message.ended.items():
                fleet.seated.discard(number)
                yield self._over(number, result)
            yield from self._seat(fleet, event.job, event.message.free)
        elif isinstance(event, Finished):
            del self._fleet_jobs[event.job]
        elif isinstance(event, Failed):
            del self._fleet_jobs[event.job]
            yield from self._fleet_gone(fleet, event)

    def _epoch(self, running: _Running, done: EpochDone) -> EpochEnded:
        running.unsent.append(done)
        return EpochEnded(running.number, done.epoch + 1, done.of, done.metrics[self._objective.metric])

    def _seat(self, fleet: _Fleet, job: str, free: int) -> Iterator[Progress]:
        """Answer a fleet with trials for its free seats: those that wait for its program, then new ones."""
        while len(fleet.assigned) < free and not self._parked and not self._fleets.crowded(fleet.envelope):
            if waiting := self._fleets.take(fleet.envelope, free - len(fleet.assigned)):
                fleet.assigned += waiting
                continue
            ended = self._draw()
            if ended is None:
                break
            yield from ended
        jobs = tuple(self._begun(number, values, {}) for number, values in fleet.assigned[:free])
        fleet.assigned = fleet.assigned[free:]
        fleet.seated |= {trial.number for trial in jobs}
        self._engine.answer(job, jobs)
        for trial in jobs:
            yield TrialBegun(trial.number, trial.values)

    def _fleet_gone(self, fleet: _Fleet, event: Failed) -> Iterator[Progress]:
        """Take up what a fleet left whose job failed: who was over is over, all others are trained again."""
        again = list(fleet.assigned)
        for number in sorted(fleet.seated):
            running = self._running.pop(number)
            if (result := read_result(self._home.trial(self._study.name, number))) is not None:
                yield self._finished(running, result)
            else:
                again.append((number, running.params))
        self._fleets.broke(fleet.envelope, again, "; ".join(event.reason.splitlines()))

    def _over(self, number: int, result: TrialResult | Rejected | MemberFailed) -> TrialEnded:
        """Record the end of a trial that its worker told."""
        running = self._running.pop(number)
        if isinstance(result, TrialResult):
            return self._finished(running, result)
        if isinstance(result, Rejected):
            return self._rejected(running, result)
        return self._failed(running, self._noted(running, result.reason))

    def _gone(self, running: _Running, event: Failed) -> TrialEnded:
        """Record the end of a trial whose job failed, unless its worker died after the trial was over."""
        folder = self._home.trial(self._study.name, running.number)
        if (result := read_result(folder)) is not None:
            return self._finished(running, result)
        if event.traceback:
            write_text(folder / ARTIFACTS / "traceback.txt", event.traceback)
        return self._failed(running, self._noted(running, event.reason))

    def _noted(self, running: _Running, reason: str) -> _Failure:
        """Note a trial's failure in its folder, for a supervisor that finds it there after a crash."""
        failure = _Failure("; ".join(reason.splitlines()), time.monotonic() - running.started)
        file = self._home.trial(self._study.name, running.number) / _FAILURE_FILE
        write_text(file, json.dumps(asdict(failure)))
        return failure

    def _rejected(self, running: _Running, rejected: Rejected) -> TrialEnded:
        seconds = time.monotonic() - running.started
        scored = Scored(running.number, "pruned", None, running.params, seconds=seconds, reason=rejected.reason)
        return self._ended(running, scored, None)

    def _finished(self, running: _Running, result: TrialResult) -> TrialEnded:
        reason = "" if result.state == "complete" else f"pruned after epoch {len(result.epochs)}"
        scored = Scored(
            number=running.number,
            state=result.state,
            value=result.value,
            params={**running.params, **result.drawn},
            best_epoch=result.best_epoch + 1,
            seconds=result.seconds,
            reason=reason,
            metrics=result.metrics,
            parameters=result.parameters,
            trainer=result.trainer,
        )
        self._best = best_of([self._best, scored] if self._best else [scored], self._objective)
        return self._ended(running, scored, result)

    def _failed(self, running: _Running, failure: _Failure) -> TrialEnded:
        scored = Scored(
            number=running.number,
            state="failed",
            value=None,
            params=running.params,
            seconds=failure.seconds,
            reason=failure.reason,
        )
        ended = self._ended(running, scored, None)
        self._give_up_if_nothing_works()
        return ended

    def _ended(self, running: _Running, scored: Scored, result: TrialResult | None) -> TrialEnded:
        """Record a trial's end: the rows for MLflow first, then Optuna."""
        is_best = self._best is scored
        best = self._best.value if self._best else None
        curve = result.epochs if result else ()
        self._recorder.trial_finished(scored, running.unsent, best_so_far=best, curve=curve)
        self._search.tell(scored)
        remove_checkpoints(self._home.trial(self._study.name, scored.number))
        return TrialEnded(scored.number, scored.state, scored.value, scored.reason, scored.seconds, is_best)

    def _give_up_if_nothing_works(self) -> None:
        trials = [trial for trial in self._search.trials() if trial.state != "running"]
        if len(trials) >= _FIRST_FAILURES and all(trial.state == "failed" for trial in trials):
            self._failure = f"the first {len(trials)} trials all failed, the last one with: {trials[-1].reason}"

    # Ending --------------------------------------------------------------------------------------------------

    def _end(self) -> Iterator[Progress]:
        state, reason = self._how_it_ended()
        test: Mapping[str, float] = {}
        if not self._parked:
            reason += self._write_models()
        try:
            test = self._test_scores() if state == "finished" else {}
        except JobError as error:
            reason = f"{reason}; the winner has no scores on the test rows: {error}"
        self._recorder.study_closed(state, reason, self._best, test)
        self._count_time()
        yield Delivering(self._outbox.pending(self._study.name), self._delivery.last_error)
        patience_s = _FLUSH_S if state == "finished" and not self._delivery.last_error else _SHORT_FLUSH_S
        waiting = self._delivery.stop(patience_s)
        yield StudyEnded(
            study=self._study.name,
            state=state,
            reason=reason,
            metric=self._objective.metric,
            winner=self._best.number if self._best else None,
            value=self._best.value if self._best else None,
            test=test,
            trials=count_by_state(self._search.trials()),
            seconds=time.monotonic() - self._started,
            undelivered=waiting.pending + waiting.parked,
            undelivered_error=waiting.last_error,
        )

    def _how_it_ended(self) -> tuple[StudyState, str]:
        if self._parked:
            return "parked", "paused; run the same file again to go on"
        if self._fatal:
            return "failed", self._fatal
        if self._best:
            return "finished", self._stop_asking
        ended = [trial for trial in self._search.trials() if trial.state != "running"]
        if self._failure or not ended:
            return "failed", self._stop_asking
        return "failed", f"{self._stop_asking}, and none completed; the last one {ended[-1].state}: {ended[-1].reason}"

    def _write_models(self) -> str:
        """Write the models that are kept of trials from fleets; return what to add to the study's end if that fails."""
        if not (missing := self._recorder.models_missing()):
            return ""
        try:
            job = models_job(self._home, self._study.name, missing)
            run_alone(self._engine, job, self._alive, meanwhile=self._recorder.draw_plots)
        except JobError as error:
            return f"; some models could not be written: {error}"
        finally:
            self._recorder.models_written()
        return ""

    def _test_scores(self) -> Mapping[str, float]:
        """Return the winner's metrics on the test rows, which nothing has looked at so far."""
        if self._best is None or not self._summary.rows.get("test"):
            return {}
        job = evaluation_job(self._study, self._home, self._best.number)
        scores: Mapping[str, float] = run_alone(self._engine, job, self._alive)
        return scores


def trial_seed(seed: int, number: int) -> int:
    """Return the seed of a trial: it depends on the study's seed and the trial's number alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")


def _job_name(number: int) -> str:
    return f"trial-{number}"


def _number_of(job: str) -> int:
    return int(job.removeprefix("trial-")) if job.startswith("trial-") else -1


def _read_failure(folder: Path) -> _Failure | None:
    file = folder / _FAILURE_FILE
    return _Failure(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None
