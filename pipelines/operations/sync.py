"""Delivery of a home's records to MLflow without training: those that wait, and all of a study again (a rebuild)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pipelines.data.prepared_folder import load_summary
from pipelines.integrations.oracle_names import make_queue_name, make_record_name, read_goal
from pipelines.queries.record_reader import load_record
from pipelines.queries.study_reader import StudyReader
from pipelines.recording.backfill import Backfill, PreviousRecords, backfill_study
from pipelines.study.context import StudyContext
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.mlflow.sink import make_home_sink_factory
from tracking.outbox.dispatcher import OutboxDispatcher
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store
from tracking.store.lease_keeper import LeaseKeeper
from tracking.store.model_digests import ModelDigests
from tracking.store.retrainings import Retrainings
from tracking.store.study_queue import StudyBusyError, StudyQueue, StudyRecord
from tracking.store.submissions import Submissions

_POLL_S = 0.1  # a query of the store; the display shows it
_PATIENCE_DIVISOR = 4  # MLflow is most likely down: each study would cost the whole patience
# Before the first delivery MLflow's modules are loaded, which takes long on a busy machine.
_MAX_LOAD_S = 60.0


@dataclass(frozen=True)
class SyncResult:
    """Result of a study's delivery.

    Attributes:
        study: its name.
        delivered: number of records that were delivered.
        left: number of records that were not.
        reason: the reason for that.
        is_busy: whether another process works on the study, and delivers its records itself.
    """

    study: str
    delivered: int
    left: int
    reason: str
    is_busy: bool = False


@dataclass(frozen=True)
class RebuildResult:
    """Result of a rebuild; see `SyncResult` and `Backfill`."""

    study: str
    trials: int
    delivered: int
    left: int
    reason: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SyncProgress:
    """Progress of a delivery: the records left of a study, and the latest error; empty if there is none."""

    study: str
    left: int
    error: str


class SyncMonitor:
    """Monitor of a delivery; `pipelines.cli.deliveries` has one that prints."""

    def show(self, progress: SyncProgress) -> None:
        """Show the progress."""

    @property
    def is_cancelled(self) -> bool:
        """Whether to stop the delivery."""
        return False


def sync(home: Home, studies: Sequence[str], patience_s: float, monitor: SyncMonitor) -> Iterator[SyncResult]:
    """Deliver the records that wait for MLflow, and yield a result for each study.

    Args:
        home: the home.
        studies: names of studies; empty for all.
        patience_s: seconds without a delivery after which a study is given up; a quarter of it for each study after
            one without any delivery.
        monitor: shows the progress, and can stop the delivery.

    Raises:
        InputError: if there is no study of such a name.
        StudyBusyError: if another process works on a study that was named.
    """
    with _open_store(home) as store:
        # All names first: a misspelt one must not stop the delivery halfway.
        for name in studies:
            StudyQueue(store).get(name)
        for name in studies or Outbox(store).list_studies():
            try:
                done = _sync(home, store, make_record_name(name), patience_s, monitor)
            # Of all studies, a busy one is skipped: its process delivers its records itself.
            except StudyBusyError as error:
                if studies:
                    raise
                done = SyncResult(name, 0, Outbox(store).read_backlog(name).rows, str(error), is_busy=True)
            yield replace(done, study=name)
            if monitor.is_cancelled:
                return
            if done.left and not done.delivered:
                patience_s /= _PATIENCE_DIVISOR


def rebuild(home: Home, name: str, patience_s: float, monitor: SyncMonitor) -> RebuildResult:
    """Rebuild a study's MLflow runs: make all of its records from the store and the home's files, and deliver them.

    Args:
        home: the home.
        name: the study's name.
        patience_s: seconds without a delivery after which it is given up.
        monitor: shows the progress, and can stop the delivery.

    Raises:
        InputError: if there is no such study, it has not started, its data is gone, or KerasTuner's own tuner
            searches it.
        StudyBusyError: if another process works on it.
    """
    with _open_store(home) as store:
        if read_goal(StudyQueue(store).get(name)):
            message = f"{name} is searched by KerasTuner's own tuner, and the files of its trials are not in this home"
            raise InputError(f"{message}: its MLflow runs cannot be rebuilt")
        with _hold(store, name) as leases:
            backfill = _backfill(home, store, StudyQueue(store).get(name))
            with store.write() as connection:
                # In the same transaction: a lease that was lost meanwhile must not replace the records of its new
                # holder.
                leases.verify(connection)
                # Stored before the delivery, so a kill in between is made good by `sync`.
                Outbox(store).add_or_replace(name, backfill.records, connection)
            done = _deliver(home, store, name, leases, patience_s, monitor)
    return RebuildResult(name, backfill.trials, done.delivered, done.left, done.reason, backfill.notes)


@contextmanager
def _open_store(home: Home) -> Iterator[Store]:
    with StudyReader.open(home):  # an error for a home without studies: Store.open would create a store
        pass
    with Store.open(home.store) as store:
        yield store


def _sync(home: Home, store: Store, name: str, patience_s: float, monitor: SyncMonitor) -> SyncResult:
    # Without the lease: a study that is up to date may be running.
    if not Outbox(store).read_backlog(name).rows:
        return SyncResult(name, 0, 0, "")
    with _hold(store, name) as leases:
        return _deliver(home, store, name, leases, patience_s, monitor)


def _backfill(home: Home, store: Store, record: StudyRecord) -> Backfill:
    data = home.locate_data(record.name)
    if not (data / "summary.json").exists():
        raise InputError(f"{data} is gone: name the --home that {record.name} was run with")
    outbox = Outbox(store)
    context = StudyContext.from_study(load_record(record), load_summary(data), home)
    previous = PreviousRecords(next(iter(outbox.list_opened(record.name)), None), outbox.find_closed(record.name))
    retrainings = Retrainings(store).list(record.name)
    submission = Submissions(store).find(record.name)
    user = submission.submitter if submission else ""
    backfill = backfill_study(context, record, previous, store.open_optuna_storage(), retrainings, user=user)
    if backfill is None:
        raise InputError(f"{record.name} has not started: there is nothing to rebuild")
    return backfill


def _deliver(
    home: Home, store: Store, name: str, leases: LeaseKeeper, patience_s: float, monitor: SyncMonitor
) -> SyncResult:
    """Deliver a study's records until all are in MLflow, or none was delivered for `patience_s` seconds."""
    outbox = Outbox(store)
    before = outbox.read_backlog(name).rows
    delivery = OutboxDispatcher(
        store,
        make_home_sink_factory(home.folder, os.environ, namespace=store.identity, digests=ModelDigests(store)),
        study=name,
        may_deliver=leases.is_held,
    )
    delivery.start()
    try:
        fewest, delivered_at = before, time.monotonic()
        loaded_by = delivered_at + _MAX_LOAD_S
        while (
            (now := outbox.read_backlog(name)).pending
            and time.monotonic() - delivered_at < patience_s
            and not monitor.is_cancelled
        ):
            monitor.show(SyncProgress(name, now.rows, delivery.last_error))
            # A delivery may take longer than a lease.
            leases.renew_if_due()
            is_loading = not (delivery.is_connected or delivery.last_error) and time.monotonic() < loaded_by
            if now.rows < fewest or is_loading:
                fewest, delivered_at = now.rows, time.monotonic()
            time.sleep(_POLL_S)
    finally:
        # Zero: all waiting was done above, with the display.
        left = delivery.stop(0.0)
    return SyncResult(
        name, before - left.rows, left.rows, (left.last_error or delivery.last_error) if left.rows else ""
    )


@contextmanager
def _hold(store: Store, name: str) -> Iterator[LeaseKeeper]:
    """Lease a study, so that no other process delivers its records.

    A study file and KerasTuner's own tuner may each have a study of one name: both share the records in MLflow.

    Raises:
        StudyBusyError: if another process works on it.
    """
    queue = StudyQueue(store)
    leases = LeaseKeeper(store)
    try:
        for each in (name, make_queue_name(name)):
            if queue.find(each) is not None:
                leases.claim(each)
        yield leases
    finally:
        leases.release()
