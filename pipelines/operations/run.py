"""Supervision of a study, from its checked file to its end, for every interface that runs one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Literal

from pipelines.data.prepared import DataSummary
from pipelines.data.prepared_folder import load_summary
from pipelines.data.reading.source_paths import list_source_files
from pipelines.engines.base import Engine
from pipelines.engines.local_engine import LocalEngine
from pipelines.operations.check import StudyCheck, check_study, clean_up_on_failure
from pipelines.operations.engine_choice import make_cluster_wait, open_engine
from pipelines.operations.first_backends import list_first_backends
from pipelines.operations.gpu_plan import plan_gpus
from pipelines.operations.interrupt import handle_signals
from pipelines.operations.submit import check_evolution, enqueue
from pipelines.queries.earlier_study import keep_earlier_trials
from pipelines.queries.study_reader import StudyReader
from pipelines.queries.views import TrialRow
from pipelines.spec.home_rules import read_home_rules
from pipelines.spec.source_urls import is_url
from pipelines.study.check_listener import CheckListener
from pipelines.study.stored import find_known_study, is_same_study, is_unchecked, serialize_study
from pipelines.study.study import Study
from pipelines.supervisor.event_log import record_events
from pipelines.supervisor.events import Noted, StudyEnded, StudyEvent, TrialEnded
from pipelines.supervisor.supervisor import Supervisor
from pipelines.workspace.home import Home
from pipelines.workspace.quota import HomeQuota, QuotaError
from search_spaces.errors import ConflictError, KerastudyError
from tracking.mlflow.delivery_handle import DeliveryHandle
from tracking.reports.lean_imports import load_libraries
from tracking.store.database import Store
from tracking.store.study_queue import ControlRequest, StudyQueue, StudyRecord
from tracking.timings.stopwatch import measure, time_run


def run_to_end(supervisor: Supervisor, listen: Callable[[StudyEvent], None] = lambda event: None) -> StudyEnded:
    """Run a supervisor, write its log, pass each event to `listen`, and return the last one."""
    for event in record_events(supervisor.home, supervisor.study, supervisor.run()):
        with measure("showing progress"):
            listen(event)
    if not isinstance(event, StudyEnded):
        raise AssertionError("a supervisor's last event is StudyEnded")
    return event


def run_unless_finished(
    receiving: AbstractContextManager[Study],
    home: Home,
    listen: Callable[[StudyEvent], None],
    *,
    on_trial: Callable[[TrialRow], bool | None] | None = None,
    evolve: bool = False,
) -> tuple[Study, StudyEnded]:
    """Run a study unless it has nothing left to run, and return it with its end; Ctrl-C pauses it.

    Args:
        receiving: yields the checked study; is exited once the home has it.
        home: the home that holds it.
        listen: is called with every event.
        on_trial: is called with each trial that ended; the study ends once a call returns True.
        evolve: whether a study of this name may be resumed in a changed space.

    Raises:
        InputError: if its data or model cannot be used, or a study of this name searches something else.
        StudyBusyError: if another process works on it.
        KeyboardInterrupt: after Ctrl-C, once the study is paused.
    """
    interrupts: list[str] = []
    with ExitStack() as running:
        with receiving as study:
            if (finished := find_finished(study, home, evolve=evolve)) is not None:
                return study, finished
            supervisor = running.enter_context(supervise(study, home, evolve=evolve, listener=_NoteListener(listen)))

        def pause() -> None:
            interrupts.append("Ctrl-C")
            supervisor.pause()

        def handle(event: StudyEvent) -> None:
            listen(event)
            if on_trial is not None and isinstance(event, TrialEnded):
                row = TrialRow.from_summary(supervisor.find_trial(event.number))
                if on_trial(row) is True:  # a list or a number is no request
                    supervisor.stop()

        with handle_signals(pause):
            ended = run_to_end(supervisor, handle)
    if interrupts:
        # Cells and lines that follow expect a result.
        raise KeyboardInterrupt(f"{study.name} is {ended.state}; the same call resumes it")
    return study, ended


class _NoteListener(CheckListener):
    """Listener that passes lines that stay on as events."""

    def __init__(self, listen: Callable[[StudyEvent], None]) -> None:
        self._listen = listen

    def note(self, line: str) -> None:
        """Pass on the line."""
        self._listen(Noted(line))


def find_finished(study: Study, home: Home, *, evolve: bool = False) -> StudyEnded | None:
    """Return the end of a study that has nothing left to run; None if it may have.

    The data is not read: its files are unchanged if none is newer than the prepared data.

    Raises:
        InputError: if the study is known and searches something else.
    """
    known = find_known_study(study, home, evolve=evolve)
    if known is None or known.state != "finished" or sum(known.counts.values()) < study.spec.budget.trials:
        return None
    prepared = home.locate_data(study.name) / "summary.json"
    if known.document != serialize_study(study) or not prepared.exists():
        return None
    if any(is_url(source) for _, source in study.spec.data.list_sources()):
        return None  # what it names may have changed
    # Reading the data to compare its digest would take as long as the check that is to be saved.
    if any(file.stat().st_mtime > prepared.stat().st_mtime for file in list_source_files(study.spec.data, study.base)):
        return None
    with StudyReader.open(home) as reader:
        return reader.read_end(study.name)


@contextmanager
def supervise(
    study: Study,
    home: Home,
    checking: AbstractContextManager[object] | None = None,
    *,
    evolve: bool = False,
    own_process: bool = False,
    listener: CheckListener | None = None,
    quota: HomeQuota | None = None,
) -> Iterator[Supervisor]:
    """Check a study's data and model, put it into the queue, and yield its supervisor; end its workers afterwards.

    Args:
        study: the study.
        home: the home that holds it.
        checking: is entered while data and model are checked.
        evolve: whether a study of this name may be resumed in a changed space.
        own_process: whether the process runs this study alone, so that fewer libraries have to be loaded.
        listener: is called with each step of the check.
        quota: the home's quota; by default the one that the home's `service.yaml` sets.

    Raises:
        InputError: if its data or model cannot be used, or a study of this name searches something else.
        ConflictError: if the study is paused while it is checked.
        KerastudyError: if the home has reached its quota.
    """
    quota = quota or HomeQuota(home.folder, read_home_rules(home.folder).quotas.home)
    try:
        quota.check()
    except QuotaError as error:
        raise KerastudyError(str(error.strerror)) from error
    # Before the engine starts: another search under this name, or a second one of it, is refused at once.
    known = find_known_study(study, home, evolve=evolve)
    if known is not None:
        known.check_is_free()
    if known is not None and evolve:
        _check_evolution_early(study, home, known)
    is_resumed = known is not None and not is_unchecked(known)
    listener = listener or CheckListener()
    opening = partial(open_engine, study, home, listener, is_resumed=is_resumed)
    with time_run() as times, closing(opening()) as engine:
        folder = home.locate_study(study.name)
        with clean_up_on_failure(folder):
            # Before the check, whose failure removes what it has made: what it has fetched outlasts a lost cluster.
            folder.mkdir(parents=True, exist_ok=True)
            work = partial(_warm_and_check, study, folder, engine, known, listener)
            with checking or nullcontext(), measure("checking the study"):
                checked = make_cluster_wait(study, listener).run(work, engine)
            if isinstance(engine, LocalEngine):
                plan_gpus(study, checked, home.locate_data(study.name), engine)
            if study.spec.search.start_from is not None:
                with Store.open(home.store) as store:
                    keep_earlier_trials(study, checked.summary.task, home, store)
        with Store.open(home.store) as store:
            if known is not None:
                _refuse_if_paused_since(known, StudyQueue(store))
            # Only now: a study that cannot be used leaves no record.
            enqueue(study, checked.summary, store, evolve=evolve)
            times.keep_in(folder)
            load = partial(load_libraries, lean=own_process)
            yield _make_supervisor(study, checked.summary, home, store, engine, quota=quota, load=load)


def _refuse_if_paused_since(known: StudyRecord, queue: StudyQueue) -> None:
    """Raise if a study was paused since it was read: while it is checked nobody holds it, so nobody was requested."""
    record = queue.find(known.name)
    if record is not None and record.state == "paused" and record.changed_ms != known.changed_ms:
        raise ConflictError(f"{known.name} was paused while it was checked: kerastudy resume {known.name} resumes it")


def _warm_and_check(
    study: Study, folder: Path, engine: Engine, known: StudyRecord | None, listener: CheckListener
) -> StudyCheck:
    for backend in list_first_backends(study):
        # It takes seconds to load; the server does that while the data is prepared.
        engine.warm(backend)
    return check_study(study, folder, engine, known, listener=listener)


def _check_evolution_early(study: Study, home: Home, known: StudyRecord) -> None:
    """Check, before the data is read again, that a study can go on in another space; see `check_evolution`."""
    prepared = home.locate_data(study.name)
    if not is_same_study(study, known) and (prepared / "summary.json").exists():
        with Store.open(home.store) as store:
            check_evolution(study, known, store, load_summary(prepared).task)


@contextmanager
def supervise_halt(study: Study, home: Home, control_request: Literal["pause", "cancel"]) -> Iterator[Supervisor]:
    """Yield a supervisor that pauses or cancels a study that no process works on; it trains nothing."""
    # A supervisor takes an engine; this one never starts a worker.
    with closing(LocalEngine(1)) as engine, Store.open(home.store) as store:
        yield _make_supervisor(
            study, load_summary(home.locate_data(study.name)), home, store, engine, control_request=control_request
        )


def _make_supervisor(
    study: Study,
    summary: DataSummary,
    home: Home,
    store: Store,
    engine: Engine,
    control_request: ControlRequest | None = None,
    quota: HomeQuota | None = None,
    load: Callable[[], None] = lambda: None,
) -> Supervisor:
    def find_lease() -> str:  # the supervisor that it refers to is made from the delivery
        return supervisor.lease

    delivery = DeliveryHandle(home.folder, os.environ, store, home.store, study.name, find_lease)
    supervisor = Supervisor(
        study, summary, home, store, engine, delivery, control_request=control_request, quota=quota, load=load
    )
    return supervisor
