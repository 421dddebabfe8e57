"""Runs one study from its file to its winner: the only writer of a study.

The flow reads downward in `Supervisor.run`. Workers hold no state worth keeping: everything they say is written
here, each fact in an order that leaves nothing to guess after a kill (`underway`). What is found RUNNING in Optuna at
the start is taken up from whichever step of that order it reached.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import psutil

from pipelines.data.prepared import DataSummary
from pipelines.engines.base import Engine, Event, Failed, Finished, Job, Reported, Requested
from pipelines.engines.run_job import JobError, run_job
from pipelines.export.jobs import TRAIN_AND_MEASURE
from pipelines.recording.recorder import Recorder
from pipelines.search.optuna_search import OptunaSearch, TrialSummary, count_by_state
from pipelines.search.space_evolution import current_name
from pipelines.search.stopping import outcome, reason_to_stop
from pipelines.selection.model_locations import evaluation_job, models_job
from pipelines.study.model_hyperparameters import (
    compute_most_epochs,
    describe_user_model,
    find_undeclared,
    read_requests,
    select_initial_values,
)
from pipelines.study.study import Study
from pipelines.supervisor.events import (
    Delivering,
    SearchStarted,
    StudyEnded,
    StudyEvent,
    TrialBegan,
    TrialTriedAgain,
    Watching,
)
from pipelines.supervisor.final_selection import FinalSelection
from pipelines.supervisor.fleet_jobs import FleetJobs
from pipelines.supervisor.fleet_planner import FleetPlanner
from pipelines.supervisor.running_trials import RunningTrials
from pipelines.training.jobs import TRAIN_TRIAL
from pipelines.training.messages import EpochDone, RungReached, TrialOutcome
from pipelines.training.trial_folder import ARTIFACTS
from pipelines.workspace.disk_reserve import Reserve
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, KerastudyError
from search_spaces.hypermodel_request import HyperparameterRequest
from search_spaces.suggest import ConstraintViolation
from search_spaces.values import Value
from tracking.outbox.dispatcher import OutboxDispatcher
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import StudyState
from tracking.store.database import Store, classify_store_error
from tracking.store.lease_keeper import LEASE_TTL_S, LeaseKeeper
from tracking.store.retrainings import Retrainings
from tracking.store.study_queue import ControlRequest, LeaseLostError, StudyQueue
from tracking.testing.failpoints import hit

_TICK_S = 0.5
_LISTEN_EVERY_S = 1.0
_SHARE_OF_MEMORY = 0.9
_FLUSH_S = 120.0
_SHORT_FLUSH_S = 5.0
_PAUSED = "resume it to go on"


class _HaltedError(KerastudyError):
    """Somebody asked for a pause or a cancel while a job of the study's end ran."""


class Supervisor:
    """One study at work.

    Args:
        summary: the study's prepared data.
        delivery: the thread that takes rows to MLflow; started and stopped here.
        control_request: what to do with the study besides working on it, from the start.
    """

    def __init__(
        self,
        study: Study,
        summary: DataSummary,
        home: Home,
        store: Store,
        engine: Engine,
        delivery: OutboxDispatcher,
        *,
        control_request: ControlRequest | None = None,
    ) -> None:
        self._study = study
        self._summary = summary
        self._home = home
        self._queue = StudyQueue(store)
        self._leases = LeaseKeeper(store)
        self._outbox = Outbox(store)
        self._engine = engine
        self._delivery = delivery
        self._store = store
        self._objective = study.resolve_objective(summary.task.kind)
        self._reserve = Reserve(home.study(study.name))
        self._stop_asking = ""
        self._fatal = ""
        self._no_room = ""
        self._halt: Literal["", "pause", "cancel"] = ""
        self._is_open = self._is_leaving = False
        self._counted_at = self._heard_at = self._started = time.monotonic()
        if control_request is not None:
            self._obey(control_request)

    def pause(self) -> None:
        """Ask for a pause: running trials are put back, and go on when the study is resumed.

        Safe to call from a signal handler.
        """
        self._halt = "pause"
        if self._is_leaving:
            self._delivery.hurry()

    def is_in_charge(self) -> bool:
        """Say whether the study is this supervisor's to work on, and its rows this one's to deliver."""
        return self._leases.is_held()

    def run(self) -> Iterator[StudyEvent]:
        """Work until the budget is used up, or until somebody asks for something else, saying what happens.

        Raises:
            StudyBusyError: if another supervisor works on the study.
            LeaseLostError: if another one took the study over; nothing was written since.
            KerastudyError: if the store cannot be reached any more; running again goes on with what it holds.
        """
        if (holder := self._queue.find_unseen_holder(self._study.name)) is not None:
            yield Watching(holder, LEASE_TTL_S)
        self._leases.claim(self._study.name)
        try:
            yield from self._work()
        finally:
            self._delivery.stop(0.0)  # only the holder of the lease may deliver
            self._reserve.release()
            with suppress(LeaseLostError):
                self._count_time()
            self._leases.release()

    def _work(self) -> Iterator[StudyEvent]:
        try:
            self._open()
            yield self._begin()
            yield from self._search_until_done()
            yield from self._end()
        except Exception as error:
            trouble = classify_store_error(error, self._home.folder)
            if trouble is None:
                raise
            if trouble == "unreachable":
                raise KerastudyError(
                    f"the store {self._store} cannot be used any more: {str(error).splitlines()[0]}; run the same file "
                    "again when it can: nothing that was said to be done is lost"
                ) from error
            if not self._is_open:
                raise KerastudyError(self._no_room_left) from error
            yield self._ended_for_want_of_room()

    # Opening -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        study = self._study
        self._reserve.keep()
        asked = read_requests(self._home.study(study.name)) if study.has_user_model else ()
        loose = find_undeclared(asked, study.space.parameters) if study.searches_undeclared else ()
        storage = self._store.open_optuna_storage()
        self._search = OptunaSearch(
            storage,
            current_name(storage, study.name),
            study.space,
            self._objective,
            study.spec.search,
            epochs=compute_most_epochs(study, asked),
            check=self._leases.verify,
            up_front=select_initial_values(study, asked),
            undeclared=loose,
        )
        names = [each.name for each in loose]
        self._recorder = Recorder(
            study, self._objective, self._home, self._store, self._search, self._leases.verify, names
        )
        self._user_model = describe_user_model(study, asked)
        self._trials = RunningTrials(study, self._objective, self._home, self._search, self._recorder, self._user_model)
        self._memory_bytes = compute_worker_memory(study, self._engine.workers)
        self._fleets = FleetPlanner(
            study,
            self._summary,
            trials=study.spec.budget.trials - self._done,
            workers=self._engine.workers,
            memory_bytes=self._memory_bytes,
        )
        self._fleet_jobs = FleetJobs(
            study,
            self._objective,
            self._home,
            self._engine,
            self._search,
            self._trials,
            self._fleets,
            self._draw,
            self._memory_bytes,
        )
        self._queue.set_state(study.name, "running")
        self._recorder.record_study_start(self._summary)
        hit("study-opened")
        self._delivery.start()
        self._is_open = True

    @property
    def _done(self) -> int:
        return sum(trial.state != "running" for trial in self._search.trials())

    def _begin(self) -> SearchStarted:
        best = self._trials.best
        return SearchStarted(
            study=self._study.name,
            data=self._summary,
            objective=self._objective,
            budget=self._study.spec.budget.trials,
            done=self._done,
            best=best.value if best else None,
            workers=self._engine.workers,
            trained=self._fleets.sentence,
        )

    # Staying in charge ---------------------------------------------------------------------------------------

    def _alive(self) -> None:
        """Renew the lease, count working time, and hear what is asked for, every now and then."""
        now = time.monotonic()
        if self._leases.renew_if_due():
            self._count_time()
        if now - self._heard_at > _LISTEN_EVERY_S:
            self._heard_at = now
            if (control_request := self._queue.find_control_request(self._study.name)) is not None:
                self._obey(control_request)

    def _alive_unless_halted(self) -> None:
        self._alive()
        if self._halt:
            raise _HaltedError

    def _obey(self, control_request: ControlRequest) -> None:
        if control_request != "stop":
            self._halt = control_request
            return
        with self._store.write() as connection:
            self._leases.verify(connection)
            if not self._stop_asking:
                self._stop_asking = "stopped on request"
                self._queue.set_state(
                    self._study.name, "running", "stopping: trials under way may finish", connection=connection
                )
            self._queue.set_control_request(self._study.name, None, connection=connection)

    def _count_time(self) -> None:
        now = time.monotonic()
        with self._store.write() as connection:
            self._leases.verify(connection)
            self._queue.add_elapsed(self._study.name, now - self._counted_at, connection=connection)
        self._counted_at = now

    def _elapsed_s(self) -> float:
        return self._queue.get(self._study.name).elapsed_s + time.monotonic() - self._counted_at

    # Searching -----------------------------------------------------------------------------------------------

    def _search_until_done(self) -> Iterator[StudyEvent]:
        self._interrupted = list(self._search.interrupted())
        while not self._halted:
            self._alive()
            yield from self._fill_workers()
            if not (self._trials or len(self._fleet_jobs)):
                return
            for event in self._engine.events(_TICK_S):
                yield from self._handle(event)
            self._trials.flush_epochs()
        self._stop_jobs()
        if self._halt == "cancel":
            for trial in self._search.trials():
                if trial.state == "running":
                    yield self._trials.cancel(trial.number, trial.params)

    @property
    def _halted(self) -> bool:
        return bool(self._halt or self._fatal or self._no_room)

    def _stop_jobs(self) -> None:
        for name in self._engine.busy:
            self._engine.stop(name)

    def _fill_workers(self) -> Iterator[StudyEvent]:
        """Give every idle worker a trial of its own or a fleet, asking for trials as long as there is none."""
        while self._engine.idle and not self._halted:
            if (alone := self._fleets.next_alone()) is not None:
                (number, values), reason = alone
                yield from self._start(number, values, reason)
            elif self._fleets.full(len(self._fleet_jobs)):
                return
            elif (group := self._fleets.next_fleet()) is not None:
                self._fleet_jobs.start(*group)
            else:
                ended = self._draw()
                if ended is None:
                    return
                yield from ended

    def _draw(self) -> list[StudyEvent] | None:
        """Let the next trial wait for a worker or a slot; None where there is no further one.

        Returns what happened besides: the end of a trial that was over before a crash.
        """
        if self._halted:
            return None
        if self._interrupted:
            number, values = self._interrupted.pop(0)
            if (ended := self._trials.recover(number, values)) is not None:
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

    def _ask(self) -> tuple[int, Mapping[str, Value]] | None:
        self._stop_asking = self._stop_asking or reason_to_stop(
            self._study.spec.budget, self._objective, self._search.trials(), self._trials.best, self._elapsed_s()
        )
        if self._stop_asking:
            return None
        try:
            asked = self._search.ask()
        except ConstraintViolation as violation:
            self._stop_asking = f"no further point keeps the constraints: {violation}"
            return None
        if asked is None:
            self._stop_asking = "every point of the grid was tried"
        return asked

    def _start(self, number: int, values: Mapping[str, Value], reason: str) -> Iterator[StudyEvent]:
        """Start a trial in a worker of its own, for a reason."""
        limits = self._study.spec.limits
        trial = self._trials.begin(number, values, {"kerastudy.why_alone": reason})
        of_files = tuple(goal for goal in self._objective.goals if goal.format)
        name, log = _job_name(number), Path(trial.folder) / ARTIFACTS / "worker.log"
        job: Job[Any, TrialOutcome]
        if of_files:  # converters leave traces in their process: such a trial gets a fresh one
            job = Job(name, TRAIN_AND_MEASURE, (trial, of_files), log, fresh=True)
        else:
            job = Job(name, TRAIN_TRIAL, trial, log)
        time_s = self._trials.time_left_s(number)
        self._engine.submit(replace(job, time_s=time_s, stall_s=limits.stall, memory_bytes=self._memory_bytes))
        yield TrialBegan(number, values)

    def _handle(self, event: Event) -> Iterator[StudyEvent]:
        if isinstance(event, Failed) and event.kind == "disk":
            self._no_room = event.reason
        elif event.job in self._fleet_jobs:
            yield from self._fleet_jobs.handle(event)
        elif (number := _number_of(event.job)) in self._trials:
            yield from self._handle_trial(number, event)

    def _handle_trial(self, number: int, event: Event) -> Iterator[StudyEvent]:
        if isinstance(event, Reported) and isinstance(event.message, EpochDone):
            yield self._trials.record_epoch(number, event.message)
        elif isinstance(event, Requested) and isinstance(event.message, RungReached):
            reached = event.message
            self._engine.answer(event.job, self._search.should_prune(number, reached.epoch, reached.best))
        elif isinstance(event, Requested) and isinstance(event.message, HyperparameterRequest):
            self._engine.answer(event.job, self._trials.answer(number, event.message))
        elif isinstance(event, Finished):
            if event.result.kind == "fatal":
                self._fatal = f"trial {number} ended the search: {event.result.reason}"
            yield self._trials.complete(number, event.result)
        elif isinstance(event, Failed):
            happened = self._trials.handle_worker_failure(number, event)
            yield happened
            if isinstance(happened, TrialTriedAgain):
                self._fleets.again(number, happened.params, happened.reason)

    # Ending --------------------------------------------------------------------------------------------------

    def _end(self) -> Iterator[StudyEvent]:
        if self._no_room:
            yield self._ended_for_want_of_room()
            return
        test: Mapping[str, float] = {}
        also = ""
        finals = self._finals()
        try:
            if not self._halt:
                also = self._write_models()
            if not (self._halt or self._fatal):
                also += yield from self._choose(finals)
                test = self._test_scores(finals.winner)
        except JobError as error:
            also += f"; the winner has no scores on the test rows: {error}"
        except _HaltedError:
            pass
        hit("winner-tested")
        state, reason = self._how_it_ended()
        reason += also
        self._recorder.record_study_end(state, reason, finals.winner, test, finals.finalists, finals.hands_over)
        self._count_time()
        yield Delivering(self._outbox.count_pending(self._study.name), self._delivery.last_error)
        self._is_leaving = True
        patience_s = _FLUSH_S if state == "finished" and not self._delivery.last_error else _SHORT_FLUSH_S
        self._delivery.stop(patience_s)
        yield self._ended(state, reason, test, finals)

    def _finals(self) -> FinalSelection:
        return FinalSelection(
            self._study,
            self._objective,
            self._summary,
            self._home,
            self._engine,
            self._search,
            self._recorder,
            Retrainings(self._store),
            self._user_model,
            self._alive_unless_halted,
            self._memory_bytes,
        )

    def _choose(self, finals: FinalSelection) -> Generator[StudyEvent, None, str]:
        """Choose the winner as the study file asks for; return what to add to the study's end if that fails."""
        try:
            yield from finals.run()
        except (JobError, InputError) as error:
            return f"; the winner could not be chosen as selection asks for: {error}"
        return "".join(f"; {note}" for note in finals.notes)

    def _how_it_ended(self) -> tuple[StudyState, str]:
        if self._halt == "cancel":
            return "cancelled", "cancelled on request"
        if self._halt == "pause":
            return "paused", _PAUSED
        if self._fatal:
            return "failed", self._fatal
        return outcome(self._search.trials(), self._trials.best, self._stop_asking)

    def _ended(
        self, state: StudyState, reason: str, test: Mapping[str, float], finals: FinalSelection | None = None
    ) -> StudyEnded:
        waiting = self._outbox.read_backlog(self._study.name)
        best = finals.winner if finals else self._trials.best
        return StudyEnded(
            study=self._study.name,
            state=state,
            reason=reason,
            metric=self._objective.metric,
            winner=best.number if best else None,
            value=best.value if best else None,
            test=test,
            trials=count_by_state(self._search.trials()),
            seconds=time.monotonic() - self._started,
            undelivered=waiting.pending + waiting.set_aside,
            undelivered_error=waiting.last_error,
            asked_for=bool(self._halt),
            finalists=finals.finalists if finals else (),
            refit=bool(finals and finals.hands_over),
            ensemble=finals.ensemble.value if finals and finals.ensemble else None,
        )

    def _ended_for_want_of_room(self) -> StudyEnded:
        """Park the study, with what the reserve leaves to write that down; what was written before is whole."""
        self._stop_jobs()
        self._delivery.stop(0.0)
        self._reserve.release()
        reason = self._no_room_left
        with suppress(Exception):  # where even that cannot be written, the next run finds the study cut off
            self._queue.set_state(self._study.name, "paused", reason)
            self._recorder.record_study_end("paused", reason, self._trials.best, {})
        return self._ended("paused", reason, {})

    @property
    def _no_room_left(self) -> str:
        return f"no room is left on the disk of {self._home.folder}: free some and run the same file again"

    def _write_models(self) -> str:
        """Write the models that are kept of trials from fleets; return what to add to the study's end if that fails.

        Those that were written before a kill are recorded too: nothing says whether it came before that or after.
        """
        try:
            if missing := self._recorder.find_missing_models():
                job = models_job(self._home, self._study.name, missing)
                run_job(self._engine, job, self._alive_unless_halted, on_start=self._recorder.draw_plots)
                hit("models-written")
        except JobError as error:
            return f"; some models could not be written: {error}"
        finally:
            self._recorder.record_written_models()
            hit("models-recorded")
        return ""

    def _test_scores(self, winner: TrialSummary | None) -> Mapping[str, float]:
        """Return the winner's metrics on the test rows, which nothing has looked at so far."""
        if winner is None or not self._summary.rows.get("test"):
            return {}
        job = evaluation_job(self._study, self._home, winner.number)
        return run_job(self._engine, job, self._alive_unless_halted)


def compute_worker_memory(study: Study, workers: int) -> int:
    """Return what one of so many workers may hold."""
    return study.spec.limits.memory or int(psutil.virtual_memory().total * _SHARE_OF_MEMORY / workers)


def _job_name(number: int) -> str:
    return f"trial-{number}"


def _number_of(job: str) -> int:
    return int(job.removeprefix("trial-")) if job.startswith("trial-") else -1
