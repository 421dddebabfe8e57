"""The studies that were submitted, and who works on each.

A supervisor holds a study by a lease that it renews. Every change of a lease is a compare-and-swap on its token and
its count of renewals, so two supervisors can never both believe they hold it. No clock decides: a lease whose holder
died on this machine is free at once, and one whose holder cannot be seen, or is stopped, is free when it was watched
for its whole length and not renewed.
"""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import psutil
import sqlalchemy as sa

from search_spaces.errors import InputError, KerastudyError, UnknownError, nearest
from tracking.store.database import Store, now_ms, studies
from tracking.testing.failpoints import hit

ControlRequest = Literal["pause", "stop", "cancel"]
QueueState = Literal["queued", "running", "paused", "finished", "failed", "cancelled"]
OVER: Final = ("finished", "failed", "cancelled")
"""The states in which nobody will work on a study unless it is handed in again."""


class StudyBusyError(KerastudyError):
    """Another live supervisor works on the study."""


class LeaseLostError(KerastudyError):
    """The lease was taken over or released; its former holder must stop writing."""


@dataclass(frozen=True)
class StudyRecord:
    """One submitted study.

    Attributes:
        document: the study file's text.
        digest: digest of what the file says; submitting the same again is no new study.
        folder: folder that relative paths in the document start from.
        reason: why it is in its state, one line.
        elapsed_s: working time so far, pauses not counted.
        owner: who works on it, as `this_process` names them; None while nobody does.
        winner: number of the best trial.
        counts: trials by state.
        control_request: what somebody asked its supervisor to do.
    """

    name: str
    document: str
    digest: str
    folder: str
    state: QueueState
    reason: str
    created_ms: int
    elapsed_s: float
    owner: str | None
    winner: int | None
    best_value: float | None
    counts: Mapping[str, int] = field(default_factory=dict)
    control_request: ControlRequest | None = None

    @property
    def holder(self) -> str | None:
        """Return who works on it, in words; None if nobody does, as far as can be seen."""
        return None if self.owner is None or _is_alive(self.owner) is False else _in_words(self.owner)


@dataclass(frozen=True)
class Lease:
    """The right to work on a study, until it is released, or taken over for want of renewals."""

    study: str
    owner: str
    token: str
    renewals: int


class StudyQueue:
    """The table of studies. Methods that take a `connection` can join a transaction of `Store.write`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def enqueue(
        self,
        name: str,
        document: str,
        digest: str,
        *,
        folder: str | Path = ".",
        connection: sa.Connection | None = None,
    ) -> StudyRecord:
        """Add a study, or return the one there is when name and digest are the same.

        Raises:
            InputError: if the name is taken by a study with another digest.
        """
        with self._store.write(connection) as joined:
            known = _find(joined, name)
            if known is None:
                joined.execute(sa.insert(studies).values(**_new_row(name, document, digest, str(folder))))
            elif known.digest != digest:
                raise InputError(
                    f'study "{name}" exists already and its study file said something else: '
                    "give the new study another name, or choose another home"
                )
            return _record(joined.execute(sa.select(studies).where(studies.c.name == name)).one())

    def amend(self, name: str, document: str, digest: str, *, connection: sa.Connection | None = None) -> None:
        """Replace the study file's text of a study, for a change that its earlier trials still fit."""
        self._update(name, connection, document=document, digest=digest)

    def get(self, name: str) -> StudyRecord:
        """Return one study.

        Raises:
            InputError: if there is no study of that name; says the nearest one.
        """
        with self._store.read() as connection:
            record = _find(connection, name)
            if record is None:
                known = connection.scalars(sa.select(studies.c.name)).all()
                raise UnknownError(f'there is no study "{name}" in {self._store}; {nearest(name, known)}')
        return record

    def find(self, name: str, *, connection: sa.Connection | None = None) -> StudyRecord | None:
        """Return one study, or None."""
        with self._store.read() if connection is None else nullcontext(connection) as joined:
            return _find(joined, name)

    def list(
        self, *, states: Collection[str] = (), after: str | None = None, most: int | None = None
    ) -> tuple[StudyRecord, ...]:
        """Return studies, oldest first: all, or those in some states; after one of them, and no more than `most`.

        Raises:
            InputError: if there is no study called `after`.
        """
        order = (studies.c.created_ms, studies.c.name)
        asked = sa.select(studies).order_by(*order).limit(most)
        if states:
            asked = asked.where(studies.c.state.in_(states))
        if after is not None:
            asked = asked.where(
                sa.tuple_(*order) > sa.tuple_(sa.literal(self.get(after).created_ms), sa.literal(after))
            )
        with self._store.read() as connection:
            return tuple(_record(row) for row in connection.execute(asked))

    def count_by_state(self) -> Mapping[str, int]:
        """Return how many studies are in each state."""
        asked = sa.select(studies.c.state, sa.func.count()).group_by(studies.c.state)
        with self._store.read() as connection:
            return {row[0]: row[1] for row in connection.execute(asked)}

    def claim(self, name: str, owner: str, ttl_s: float) -> Lease:
        """Take the study for `owner` (see `this_process`), and forget what was wished of it.

        A holder that cannot be seen to be alive or dead is watched for `ttl_s` seconds, within which it must renew its
        lease; see `unseen_holder`.

        Raises:
            StudyBusyError: if another live supervisor holds it; names the holder.
            InputError: if there is no such study.
        """
        self.get(name)
        unrenewed = self._watched(name, ttl_s)
        lease = Lease(name, owner, uuid.uuid4().hex, 0)
        with self._store.write() as connection:
            held = _held(connection, name, lock=True)
            if held.lease_token is not None and _is_alive(held.lease_owner) is not False and held != unrenewed:
                raise _busy(name, held.lease_owner)
            values = {**_lease_row(lease), "control_request": None}
            connection.execute(sa.update(studies).where(studies.c.name == name).values(**values))
        hit("lease-claimed")
        return lease

    def _watched(self, name: str, most_s: float) -> _Held | None:
        """Watch a lease whose holder cannot be seen to be alive or dead; return it if it is not renewed meanwhile."""
        with self._store.read() as connection:
            held = _held(connection, name)
        if held.lease_token is None or (alive := _is_alive(held.lease_owner)) is False:
            return None
        if alive:
            raise _busy(name, held.lease_owner)
        until = time.monotonic() + most_s
        while time.monotonic() < until:
            time.sleep(min(1.0, most_s / 10))
            with self._store.read() as connection:
                if _held(connection, name) != held:
                    raise _busy(name, held.lease_owner)
        return held

    def renew(self, lease: Lease) -> Lease:
        """Say that the holder still works; use the returned lease from here on.

        Raises:
            LeaseLostError: if somebody else took the study.
        """
        renewed = replace(lease, renewals=lease.renewals + 1)
        with self._store.write() as connection:
            changed = connection.execute(
                sa.update(studies)
                .where(studies.c.lease_token == lease.token, studies.c.lease_renewals == lease.renewals)
                .values(**_lease_row(renewed))
            )
            if changed.rowcount != 1:
                raise _lost(lease)
        hit("lease-renewed")
        return renewed

    def release(self, lease: Lease) -> None:
        """Give the study up; does nothing if it was already lost."""
        with self._store.write() as connection:
            connection.execute(
                sa.update(studies)
                .where(studies.c.lease_token == lease.token)
                .values(lease_owner=None, lease_token=None)
            )

    def verify(self, lease: Lease, connection: sa.Connection) -> None:
        """Make sure, inside a transaction, that the lease still holds, so that what follows cannot be a stale write.

        Raises:
            LeaseLostError: if it does not.
        """
        if _held(connection, lease.study, lock=True).lease_token != lease.token:
            raise _lost(lease)

    def find_control_request(self, name: str) -> ControlRequest | None:
        """Return what somebody asked the study's supervisor to do."""
        with self._store.read() as connection:
            return connection.scalar(sa.select(studies.c.control_request).where(studies.c.name == name))

    def set_control_request(self, name: str, control_request: ControlRequest | None, *, connection: sa.Connection | None = None) -> None:
        """Ask the study's supervisor to do something, or take note that it does."""
        self._update(name, connection, control_request=control_request)

    def holder(self, name: str) -> str | None:
        """Return who works on a study, in words; None if nobody does, as far as can be seen.

        Raises:
            InputError: if there is no such study.
        """
        return self.get(name).holder

    def unseen_holder(self, name: str) -> str | None:
        """Return who works on a study and cannot be seen to be alive or dead, in words: `claim` watches that one.

        Raises:
            InputError: if there is no such study.
        """
        owner = self.get(name).owner
        return _in_words(owner) if owner is not None and _is_alive(owner) is None else None

    def holds(self, lease: Lease) -> bool:
        """Say whether a lease is still the study's; see `verify`."""
        with self._store.read() as connection:
            return _held(connection, lease.study).lease_token == lease.token

    def set_state(
        self, name: str, state: QueueState, reason: str = "", *, connection: sa.Connection | None = None
    ) -> None:
        """Record a study's state and why."""
        self._update(name, connection, state=state, reason=reason)

    def set_result(
        self,
        name: str,
        *,
        winner: int | None,
        best_value: float | None,
        counts: Mapping[str, int],
        connection: sa.Connection | None = None,
    ) -> None:
        """Record the best trial so far and the number of trials by state."""
        self._update(
            name, connection, winner=winner, best_value=best_value, counts=json.dumps(dict(counts), sort_keys=True)
        )

    def add_elapsed(self, name: str, seconds: float, *, connection: sa.Connection | None = None) -> None:
        """Add working time to a study."""
        self._update(name, connection, elapsed_s=studies.c.elapsed_s + seconds)

    def _update(self, name: str, connection: sa.Connection | None, **values: object) -> None:
        with self._store.write(connection) as joined:
            joined.execute(sa.update(studies).where(studies.c.name == name).values(**values))


def this_process() -> str:
    """Return a name for this process that no other process ever had: `host/pid/start/namespace`."""
    return f"{platform.node()}/{os.getpid()}/{_start_of(os.getpid())}/{_pid_namespace()}"


@dataclass(frozen=True)
class _Held:
    """A lease as the database has it."""

    lease_owner: str | None
    lease_token: str | None
    lease_renewals: int


def _held(connection: sa.Connection, name: str, *, lock: bool = False) -> _Held:
    asked = sa.select(studies.c.lease_owner, studies.c.lease_token, studies.c.lease_renewals)
    asked = asked.where(studies.c.name == name)
    return _Held(*connection.execute(asked.with_for_update() if lock else asked).one())


def _busy(name: str, owner: str | None) -> StudyBusyError:
    return StudyBusyError(
        f'study "{name}" is being worked on by {_in_words(owner)}: wait for it, or stop that process and run again'
    )


def _find(connection: sa.Connection, name: str) -> StudyRecord | None:
    row = connection.execute(sa.select(studies).where(studies.c.name == name)).one_or_none()
    return None if row is None else _record(row)


def _record(row: sa.Row[tuple[object, ...]]) -> StudyRecord:
    values = dict(row._mapping)
    for internal in ("lease_token", "lease_renewals"):
        values.pop(internal)
    values["owner"] = values.pop("lease_owner")
    values["counts"] = json.loads(values["counts"])
    return StudyRecord(**values)


def _new_row(name: str, document: str, digest: str, folder: str) -> dict[str, object]:
    return {
        "name": name,
        "document": document,
        "digest": digest,
        "folder": folder,
        "state": "queued",
        "reason": "",
        "created_ms": now_ms(),
        "elapsed_s": 0.0,
        "lease_renewals": 0,
        "counts": "{}",
    }


def _lease_row(lease: Lease) -> dict[str, object]:
    return {
        "lease_owner": lease.owner,
        "lease_token": lease.token,
        "lease_renewals": lease.renewals,
    }


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(f'the lease on study "{lease.study}" was taken over by another supervisor')


def _is_alive(owner: str | None) -> bool | None:
    """Say whether the process named `owner` runs; None if it cannot be seen from here, or is stopped by a signal."""
    parts = (owner or "").split("/")
    if len(parts) != 4 or (parts[0], parts[3]) != (platform.node(), _pid_namespace()) or not parts[1].isdigit():
        return None
    if _start_of(int(parts[1])) != parts[2]:
        return False
    try:
        state = psutil.Process(int(parts[1])).status()
    except psutil.NoSuchProcess:
        return False
    if state == psutil.STATUS_ZOMBIE:
        return False
    return None if state in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP) else True


def _in_words(owner: str | None) -> str:
    parts = (owner or "").split("/")
    return f"process {parts[1]} on {parts[0]}" if len(parts) == 4 else str(owner)


def _start_of(pid: int) -> str:
    """Return when a process began, exactly, in whatever unit the system keeps; empty if there is no such process."""
    try:
        # In clock ticks since boot, which a step of the wall clock does not move.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return ""


def _pid_namespace() -> str:
    """Return what tells two containers apart that share a host name; process ids mean nothing between them."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "0"
