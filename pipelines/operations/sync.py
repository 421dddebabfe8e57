"""Keeping MLflow in step with a home, without training: delivering what waits, and telling a study anew."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pipelines.data.prepared_folder import load_summary
from pipelines.integrations.oracle_records import goal_of, queued_name, recorded_name
from pipelines.queries.record_reader import load_record
from pipelines.queries.study_reader import StudyReader
from pipelines.recording.backfill import Backfill, Before, backfill_study
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.mlflow.sink import make_home_sink_factory
from tracking.outbox.dispatcher import OutboxDispatcher
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store
from tracking.store.lease_keeper import LeaseKeeper
from tracking.store.retrainings import Retrainings
from tracking.store.study_queue import StudyBusyError, StudyQueue, StudyRecord

_LOOK_EVERY_S = 0.1
_LESS_PATIENCE = 4
# Before anything can be delivered MLflow's modules must be loaded, which takes long on a busy machine.
_MOST_TO_LOAD_S = 60.0


@dataclass(frozen=True)
class SyncResult:
    """What was delivered of a study.

    Attributes:
        left: records that MLflow has not taken; `reason` says why.
        is_busy: another process works on the study, and delivers its records itself.
    """

    study: str
    delivered: int
    left: int
    reason: str
    is_busy: bool = False


@dataclass(frozen=True)
class RebuildResult:
    """A study that was told to MLflow anew; see `SyncResult` and `Backfill`."""

    study: str
    trials: int
    delivered: int
    left: int
    reason: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SyncProgress:
    """How far a delivery is: records left of a study, and the latest error if there is one."""

    study: str
    left: int
    error: str


class SyncMonitor:
    """Looks on while records are delivered; see `pipelines.cli.foreground`."""

    def show(self, step: SyncProgress) -> None:
        """Show how far it is."""

    @property
    def is_cancelled(self) -> bool:
        """Say whether to give up."""
        return False


def sync(home: Home, studies: Sequence[str], patience_s: float, watch: SyncMonitor) -> Iterator[SyncResult]:
    """Deliver what waits for MLflow, of these studies or of all, and say of each what came of it.

    A study is given up when MLflow takes none of its records for `patience_s` seconds, and each further one sooner
    where it took nothing at all.

    Raises:
        InputError: if there is no study of such a name.
        StudyBusyError: if another process works on a study that was named.
    """
    with _open_store(home) as store:
        for name in studies:
            StudyQueue(store).get(name)
        for name in studies or Outbox(store).list_studies():
            try:
                done = _sync(home, store, recorded_name(name), patience_s, watch)
            except StudyBusyError as error:
                if studies:
                    raise
                done = SyncResult(name, 0, Outbox(store).read_backlog(name).rows, str(error), is_busy=True)
            yield replace(done, study=name)
            if watch.is_cancelled:
                return
            if done.left and not done.delivered:
                patience_s /= _LESS_PATIENCE


def rebuild(home: Home, name: str, patience_s: float, watch: SyncMonitor) -> RebuildResult:
    """Tell MLflow all there is to tell of a study, from the store and the home's files, and deliver it.

    Raises:
        InputError: if there is no such study, it has not begun, its data is gone, or it is KerasTuner's own tuner's.
        StudyBusyError: if another process works on it.
    """
    with _open_store(home) as store:
        if goal_of(StudyQueue(store).get(name)):
            message = f"{name} is searched by KerasTuner's own tuner, and the files of its trials are not in this home"
            raise InputError(f"{message}: what MLflow has lost of it cannot be told anew")
        with _hold(store, name) as leases:
            told = _backfill(home, store, StudyQueue(store).get(name))
            with store.write() as connection:
                leases.verify(connection)
                Outbox(store).add_or_replace(name, told.records, connection)
            done = _deliver(home, store, name, leases, patience_s, watch)
    return RebuildResult(name, told.trials, done.delivered, done.left, done.reason, told.notes)


@contextmanager
def _open_store(home: Home) -> Iterator[Store]:
    with StudyReader.open(home):  # refuses a home without studies, where the store would be created
        pass
    with Store.open(home.store) as store:
        yield store


def _sync(home: Home, store: Store, name: str, patience_s: float, watch: SyncMonitor) -> SyncResult:
    if not Outbox(store).read_backlog(name).rows:
        return SyncResult(name, 0, 0, "")
    with _hold(store, name) as leases:
        return _deliver(home, store, name, leases, patience_s, watch)


def _backfill(home: Home, store: Store, record: StudyRecord) -> Backfill:
    data = home.data(record.name)
    if not (data / "summary.json").exists():
        raise InputError(f"{data} is gone: name the --home that {record.name} was run with")
    outbox = Outbox(store)
    before = Before(next(iter(outbox.list_opened(record.name)), None), outbox.find_closed(record.name))
    retrainings = Retrainings(store).list(record.name)
    told = backfill_study(
        load_record(record), load_summary(data), record, before, home, store.open_optuna_storage(), retrainings
    )
    if told is None:
        raise InputError(f"{record.name} has not begun: there is nothing to tell MLflow")
    return told


def _deliver(
    home: Home, store: Store, name: str, leases: LeaseKeeper, patience_s: float, watch: SyncMonitor
) -> SyncResult:
    """Deliver what waits of a study until MLflow has it, or has taken nothing for so long."""
    outbox = Outbox(store)
    before = outbox.read_backlog(name).rows
    delivery = OutboxDispatcher(
        store,
        make_home_sink_factory(home.folder, os.environ, namespace=store.identity),
        study=name,
        may_deliver=leases.is_held,
    )
    delivery.start()
    try:
        fewest, taken_at = before, time.monotonic()
        loaded_by = taken_at + _MOST_TO_LOAD_S
        while (
            (now := outbox.read_backlog(name)).pending
            and time.monotonic() - taken_at < patience_s
            and not watch.is_cancelled
        ):
            watch.show(SyncProgress(name, now.rows, delivery.last_error))
            leases.renew_if_due()
            is_loading = not (delivery.is_connected or delivery.last_error) and time.monotonic() < loaded_by
            if now.rows < fewest or is_loading:
                fewest, taken_at = now.rows, time.monotonic()
            time.sleep(_LOOK_EVERY_S)
    finally:
        left = delivery.stop(0.0)
    return SyncResult(
        name, before - left.rows, left.rows, (left.last_error or delivery.last_error) if left.rows else ""
    )


@contextmanager
def _hold(store: Store, name: str) -> Iterator[LeaseKeeper]:
    """Hold a study, so that nobody else delivers its records.

    A study file and KerasTuner's own tuner may each have a study of one name, and share its records.

    Raises:
        StudyBusyError: if another process works on it.
    """
    queue = StudyQueue(store)
    leases = LeaseKeeper(store)
    try:
        for each in (name, queued_name(name)):
            if queue.find(each) is not None:
                leases.claim(each)
        yield leases
    finally:
        leases.release()
