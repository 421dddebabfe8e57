"""Supervisor of one study, from its queue entry to its winner: the only process that writes about the study.

`Supervisor.run` reads downward: claim, open, search, end. Workers keep no state of value: what they report is recorded
here, in an order that leaves no doubt after a kill (`running_trials`). A trial that Optuna has as RUNNING at the start
continues from the step of that order that it reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator

from pipelines.data.prepared import DataSummary
from pipelines.engines.base import Engine, EngineLostError
from pipelines.search.optuna_search import OptunaSearch
from pipelines.search.trial_summaries import TrialSummary
from pipelines.study.context import StudyContext
from pipelines.study.study import Study
from pipelines.supervisor.events import EpochEnded, StudyEvent, TrialEnded, Watching
from pipelines.supervisor.lost_engine import LostEngine
from pipelines.supervisor.open_study import OpenStudy
from pipelines.supervisor.search_loop import SearchLoop
from pipelines.supervisor.study_control import UNSEEN_HOLDER_S, StudyControl
from pipelines.supervisor.study_end import StudyEnd, explain_full_disk
from pipelines.workspace.disk_reserve import DiskReserve
from pipelines.workspace.home import Home
from pipelines.workspace.quota import HomeQuota, QuotaError
from search_spaces.errors import KerastudyError
from tracking.outbox.delivery import Delivery
from tracking.store.database import Store, classify_store_error
from tracking.store.study_queue import ControlRequest, StudyQueue
from tracking.testing.failpoints import hit
from tracking.timings.stopwatch import measure

# For a study whose first epoch takes long: its run is in MLflow before.
_LATEST_DELIVERY_S = 10.0


class Supervisor:
    """Supervisor of one study.

    Args:
        study: the checked study, which is in the queue.
        summary: facts of its prepared data.
        home: folders of all studies.
        store: the database of the studies.
        engine: runs its jobs.
        delivery: delivers its records to MLflow; started and stopped here.
        control_request: what to do with the study besides working on it, from the start.
        quota: the home's quota; at it, the study is paused as at a full disk.
        clock: seconds that pass, for the time that trials and the study take; simulations have their own.
        load: loads libraries that the report needs; called in a thread after the first trial.
    """

    def __init__(
        self,
        study: Study,
        summary: DataSummary,
        home: Home,
        store: Store,
        engine: Engine,
        delivery: Delivery,
        *,
        control_request: ControlRequest | None = None,
        quota: HomeQuota | None = None,
        clock: Callable[[], float] = time.monotonic,
        load: Callable[[], None] = lambda: None,
    ) -> None:
        self._study = study
        self._summary = summary
        self._home = home
        self._store = store
        self._engine = engine
        self._delivery = delivery
        self._control = StudyControl(store, study.name, control_request, quota, clock)
        reconnect = study.spec.resources.reconnect
        limit_s = None if reconnect == "off" else reconnect
        self._lost_engine = LostEngine(study.name, engine, self._control, limit_s, self._note)
        self._reserve = DiskReserve(home.locate_study(study.name))
        self._started = clock()
        self._load = load
        self._end: StudyEnd | None = None
        self._search: OptunaSearch | None = None

    @property
    def study(self) -> str:
        """Name of its study."""
        return self._study.name

    @property
    def home(self) -> Home:
        """The home that holds the study."""
        return self._home

    def pause(self) -> None:
        """Request a pause: running trials stop, and continue when the study is resumed.

        Safe to call from a signal handler.
        """
        self._control.request_halt("pause")
        if self._end is not None and self._end.is_flushing:
            self._delivery.hurry()

    def stop(self) -> None:
        """Request that no further trial starts, and that the study ends with its best one."""
        self._control.obey("stop")

    def find_trial(self, number: int) -> TrialSummary:
        """Return a trial of the study at work.

        Raises:
            StopIteration: if there is none of that number.
        """
        trials = self._search.trials if self._search else ()
        return next(trial for trial in trials if trial.number == number)

    def continue_lease(self, token: str) -> None:
        """Let this supervisor continue a lease on the study that was passed to its process."""
        self._control.continue_lease(token)

    def is_in_charge(self) -> bool:
        """Return whether this supervisor works on the study and delivers its records."""
        return self._control.is_held()

    @property
    def lease(self) -> str:
        """Token of its lease on the study; empty before it works on it."""
        return self._control.lease

    def run(self) -> Iterator[StudyEvent]:
        """Work until the budget is used up or another end is requested, yielding events.

        Raises:
            StudyBusyError: if another supervisor works on the study.
            LeaseLostError: if another supervisor took the study over; nothing was written since.
            KerastudyError: if the store cannot be reached any more; a further run continues from what it holds.
        """
        if (holder := self._control.find_unseen_holder()) is not None:
            yield Watching(holder, UNSEEN_HOLDER_S)
        self._control.claim()
        try:
            yield from self._work()
        finally:
            self._delivery.stop(0.0)  # only the holder of the lease may deliver
            self._reserve.release()
            self._control.release()

    def _work(self) -> Iterator[StudyEvent]:
        is_due = True
        while is_due:
            try:
                with measure("opening the study"):
                    study = self._open()
            except Exception as error:
                self._raise_unless_full(error)
                raise KerastudyError(self._explain_full(error)) from error
            self._search = study.search
            is_due = yield from self._search_and_end(study)

    def _search_and_end(self, study: OpenStudy) -> Generator[StudyEvent, None, bool]:
        """Search and end a study; return whether it is to be opened again, after the loss of its engine."""
        self._end = end = StudyEnd(study, self._delivery, self._started)
        reason = explain_full_disk(self._home)
        try:
            lost = yield from self._run_until_lost(study, end)
            if lost is not None:
                reason = yield from self._lost_engine.wait(lost)
                if not reason:
                    return True
                self._control.outage = reason
        # Of any type, because SQLite, Optuna and files report a full disk in many.
        except Exception as error:
            self._raise_unless_full(error)
            self._control.outage = reason = self._explain_full(error)
        if self._control.outage:
            study.stop_jobs()
            self._delivery.stop(0.0)
            self._reserve.release()  # its space takes the records of the pause
            yield end.pause_for_outage(reason)
        return False

    def _run_until_lost(self, study: OpenStudy, end: StudyEnd) -> Generator[StudyEvent, None, EngineLostError | None]:
        """Search, and choose the winner; return the loss of the engine that ended this, None where it was not lost."""
        try:
            search = SearchLoop(study, self._load)
            yield search.describe_start()
            yield from self._follow(search.run())
            if not self._control.outage:
                yield from end.run(search.aside, search.planner)
        except EngineLostError as error:
            return error
        return None

    def _follow(self, events: Iterator[StudyEvent]) -> Iterator[StudyEvent]:
        """Yield events, and start the delivery with the first result: until then both cores have work."""
        has_result = False
        for event in events:
            if isinstance(event, EpochEnded | TrialEnded):
                self._lost_engine.record_result()
                if not has_result:
                    has_result = True
                    self._delivery.start()
            yield event

    def _open(self) -> OpenStudy:
        # First, so that a full disk shows before anything else is written.
        self._reserve.fill()
        context = StudyContext.from_study(self._study, self._summary, self._home)
        study = OpenStudy.open(context, self._store, self._engine, self._control)
        StudyQueue(self._store).set_state(context.name, "running")
        study.recorder.record_study_start()
        hit("study-opened")
        self._delivery.start(_LATEST_DELIVERY_S)
        return study

    def _note(self, line: str) -> None:
        """State in the queue what the study waits for."""
        StudyQueue(self._store).set_state(self.study, "running", line)

    def _explain_full(self, error: Exception) -> str:
        return str(error.strerror) if isinstance(error, QuotaError) else explain_full_disk(self._home)

    def _raise_unless_full(self, error: Exception) -> None:
        """Raise an error again, unless the disk is full."""
        trouble = classify_store_error(error, self._home.folder)
        if trouble is None:
            raise error
        if trouble == "unreachable":
            raise KerastudyError(
                f"the store {self._store} cannot be used any more: {str(error).splitlines()[0]}; run the same file "
                "again when it can: no finished trial is lost"
            ) from error
