"""Queue of submitted studies, with the lease of the supervisor that works on each.

A supervisor holds a study by a lease that it renews. Every change of a lease is a compare-and-swap on its token and
its count of renewals, so two supervisors never hold one study, whatever their clocks show. A lease whose holder died on
this machine is free at once. Of a holder that cannot be seen, or is stopped by a signal, the database's clock shows
whether it missed its renewals; whoever wants the study then watches the lease for a while before it takes it, so that
a clock that jumps, or a database that was away for longer than a lease, takes no study from a living holder.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import sqlalchemy as sa

from search_spaces.errors import InputError, KerastudyError, UnknownError, suggest_choice
from tracking.store.clock import read_now
from tracking.store.database import Store
from tracking.store.processes import describe_owner, find_host, identify_process, is_alive
from tracking.store.tables import now_ms, studies
from tracking.testing.failpoints import hit

ControlRequest = Literal["pause", "stop", "cancel"]
StoredRequest = Literal[ControlRequest, "stopping"]
"""A request as the queue holds it: `stopping` is a stop that a supervisor has read, which holds until the end."""
QueueState = Literal["queued", "preparing", "running", "paused", "finished", "failed", "cancelled", "deleting"]
ENDED_STATES: Final = ("finished", "failed", "cancelled")
"""States in which no supervisor works on a study unless it is submitted again."""


# Any other request that is there when a study is leased was meant for an earlier supervisor.
_KEPT_REQUEST: Final = sa.case((studies.c.control_request == "stopping", "stopping"), else_=None)


class StudyBusyError(KerastudyError):
    """Another live supervisor works on the study."""


class LeaseLostError(KerastudyError):
    """The lease was taken over or released; its former holder must stop writing."""


@dataclass(frozen=True)
class StudyRecord:
    """One submitted study.

    Attributes:
        document: the study file's text.
        digest: digest of the file's content; a second submission with the same digest is no new study.
        folder: base of relative paths in the document.
        reason: reason of its state, one line.
        elapsed_s: working time so far, pauses not counted.
        owner: the process that works on it, as `identify_process` names it; None if there is none.
        winner: number of the best trial.
        counts: trials by state.
        control_request: request that its supervisor has not handled yet, or a stop that it has begun.
        changed_ms: time of the latest change of its state; None if that was before this was recorded.
        archived_ms: when it was archived; None while it is listed.
        lease_mark: changes with every renewal of its lease; empty where nobody holds it.
        lease_is_over: whether its holder has missed its renewals, by the database's clock.
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
    control_request: StoredRequest | None = None
    changed_ms: int | None = None
    archived_ms: int | None = None
    lease_mark: str = ""
    lease_is_over: bool = False

    @property
    def since_ms(self) -> int:
        """Time of the latest change of its state, as far as it is known."""
        return self.created_ms + int(self.elapsed_s * 1000) if self.changed_ms is None else self.changed_ms

    @property
    def holder(self) -> str | None:
        """Process that works on it, in words; None if none does, as far as can be seen."""
        if self.owner is None or (alive := is_alive(self.owner)) is False or (alive is None and self.lease_is_over):
            return None
        return describe_owner(self.owner)

    @property
    def is_unseen(self) -> bool:
        """Whether it has a holder that can be seen neither alive nor dead from here."""
        return self.owner is not None and is_alive(self.owner) is None

    def check_is_free(self) -> None:
        """Check that no other process can be seen to work on it.

        Raises:
            StudyBusyError: if one does; names it.
        """
        if self.owner != identify_process() and is_alive(self.owner):
            raise _make_busy_error(self.name, self.owner)

    @property
    def host(self) -> str:
        """Host of the process that works on it; empty if none does, as far as can be seen."""
        return find_host(self.owner) if self.holder is not None else ""

    @property
    def is_at_rest(self) -> bool:
        """Whether it is paused or has ended, and no process on this machine writes its last lines."""
        # The state is final before that: a supervisor delivers records to MLflow in between, and gives up its lease
        # after it. A holder elsewhere may be dead for ever.
        is_held = self.owner is not None and is_alive(self.owner) is True
        return self.state in (*ENDED_STATES, "paused") and not is_held


@dataclass(frozen=True)
class Lease:
    """Right to work on a study, until it is released, or taken over because it was not renewed."""

    study: str
    owner: str
    token: str
    renewals: int
    ttl_s: float


class StudyQueue:
    """Table of studies. Methods that take a `connection` can join a transaction of `Store.write`."""

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
        """Add a study, or return the present one when name and digest are the same.

        Raises:
            InputError: if the name is taken by a study with another digest.
        """
        with self._store.write(connection) as joined:
            known = _find_record(joined, name)
            if known is None:
                joined.execute(sa.insert(studies).values(**_make_row(name, document, digest, str(folder))))
            elif known.digest != digest:
                raise InputError(
                    f'study "{name}" exists already, with another study file: '
                    "give the new study another name, or choose another home"
                )
            return _parse_row(joined.execute(_select(joined).where(studies.c.name == name)).one())

    def amend(self, name: str, document: str, digest: str, *, connection: sa.Connection | None = None) -> None:
        """Replace the text of a study's file, after a change that its earlier trials still fit."""
        self._update(name, connection, document=document, digest=digest)

    def move(self, record: StudyRecord, *, connection: sa.Connection | None = None) -> None:
        """Replace the paths of a study whose home was moved: its folder, those in its file, and the digest."""
        self._update(record.name, connection, document=record.document, digest=record.digest, folder=record.folder)

    def get(self, name: str) -> StudyRecord:
        """Return one study.

        Raises:
            InputError: if there is no study of that name; suggests the nearest one.
        """
        record = self._store.query(lambda connection: _find_record(connection, name))
        if record is None:
            known = self._store.query(lambda connection: connection.scalars(sa.select(studies.c.name)).all())
            raise UnknownError(f'there is no study "{name}"; {suggest_choice(name, known)}')
        return record

    def find(self, name: str, *, connection: sa.Connection | None = None) -> StudyRecord | None:
        """Return one study, or None."""
        with self._store.read() if connection is None else nullcontext(connection) as joined:
            return _find_record(joined, name)

    def list(
        self,
        *,
        states: Collection[str] = (),
        after: str | None = None,
        limit: int | None = None,
        archived: bool = True,
    ) -> tuple[StudyRecord, ...]:
        """Return studies, oldest first: all, or those in some states; after one of them, and at most `limit`.

        With `archived` false, those that are archived are left out.

        Raises:
            InputError: if there is no study called `after`.
        """
        order = (studies.c.created_ms, studies.c.name)
        conditions: list[sa.ColumnElement[bool]] = [studies.c.state.in_(states)] if states else []
        if not archived:
            conditions.append(studies.c.archived_ms.is_(None))
        # By place, not by OFFSET, which would skip studies where earlier ones have left the states meanwhile.
        if after is not None:
            place = sa.tuple_(sa.literal(self.get(after).created_ms), sa.literal(after))
            conditions.append(sa.tuple_(*order) > place)
        with self._store.read() as connection:
            query = _select(connection).where(*conditions).order_by(*order).limit(limit)
            return tuple(_parse_row(row) for row in connection.execute(query))

    def list_mentioning(self, text: str, *, connection: sa.Connection | None = None) -> tuple[StudyRecord, ...]:
        """Return the studies whose file has a text, or whose name it is, oldest first."""
        mentions = sa.or_(studies.c.name == text, studies.c.document.contains(text, autoescape=True))
        with self._store.read() if connection is None else nullcontext(connection) as joined:
            query = _select(joined).where(mentions).order_by(studies.c.created_ms, studies.c.name)
            return tuple(_parse_row(row) for row in joined.execute(query))

    def count_by_state(self) -> Mapping[str, int]:
        """Return the number of studies in each state."""
        query = sa.select(studies.c.state, sa.func.count()).group_by(studies.c.state)
        with self._store.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def claim(self, name: str, owner: str, ttl_s: float, *, after: str = "") -> Lease:
        """Lease the study to `owner` (see `identify_process`), and clear its control request.

        If this process cannot see whether the holder lives, it watches the lease for `ttl_s` seconds, within which the
        holder must renew it, or for a quarter of that where the lease is over already; see `find_unseen_holder`.

        Args:
            name: the study.
            owner: the process that is to hold it.
            ttl_s: length of the lease; it is to be renewed several times within it.
            after: token of the lease that this one continues. Its control request is meant for this one too.

        Raises:
            StudyBusyError: if another live supervisor holds it; names the holder.
            InputError: if there is no such study.
        """
        self.get(name)
        unrenewed = None if after else self._watch_lease(name, ttl_s)
        lease = Lease(name, owner, uuid.uuid4().hex, 0, ttl_s)
        with self._store.write() as connection:
            # The row lock is for PostgreSQL; on SQLite BEGIN IMMEDIATE has the whole database locked.
            held = _read_lease(connection, name, lock=True)
            is_free = held.lease_token is None or is_alive(held.lease_owner) is False or held == unrenewed
            if not (held.lease_token == after if after else is_free):
                raise _make_busy_error(name, held.lease_owner)
            values = _make_lease_row(lease, connection)
            if not after:
                # A request that is still there was meant for an earlier supervisor.
                values["control_request"] = _KEPT_REQUEST
            connection.execute(sa.update(studies).where(studies.c.name == name).values(**values))
        hit("lease-claimed")
        return lease

    def take(self, record: StudyRecord, owner: str, ttl_s: float, connection: sa.Connection) -> Lease | None:
        """Lease a study that was seen to be free, as part of a transaction; None if it has changed since then."""
        held = _read_lease(connection, record.name, lock=True)
        if _make_mark(held.lease_token, held.lease_renewals) != record.lease_mark:
            return None
        lease = Lease(record.name, owner, uuid.uuid4().hex, 0, ttl_s)
        values = {**_make_lease_row(lease, connection), "control_request": _KEPT_REQUEST}
        unchanged = studies.c.name == record.name, studies.c.state == record.state
        taken = connection.execute(sa.update(studies).where(*unchanged).values(**values))
        return lease if taken.rowcount == 1 else None

    def _watch_lease(self, name: str, most_s: float) -> _LeaseColumns | None:
        """Watch a lease whose holder cannot be seen; return the lease if it is not renewed meanwhile."""
        with self._store.read() as connection:
            held = _read_lease(connection, name)
            record = _find_record(connection, name)
        if held.lease_token is None or (alive := is_alive(held.lease_owner)) is False:
            return None
        if alive:
            raise _make_busy_error(name, held.lease_owner)
        if record is not None and record.lease_is_over:
            most_s /= 4
        until = time.monotonic() + most_s
        while time.monotonic() < until:
            time.sleep(min(1.0, most_s / 10))
            with self._store.read() as connection:
                if _read_lease(connection, name) != held:
                    raise _make_busy_error(name, held.lease_owner)
        return held

    def renew(self, lease: Lease) -> Lease:
        """Renew a lease; use the returned lease from here on.

        Raises:
            LeaseLostError: if another process took the study.
        """
        renewed = replace(lease, renewals=lease.renewals + 1)
        with self._store.write() as connection:
            changed = connection.execute(
                sa.update(studies)
                .where(studies.c.lease_token == lease.token, studies.c.lease_renewals == lease.renewals)
                .values(**_make_lease_row(renewed, connection))
            )
            if changed.rowcount != 1:
                raise _make_lost_error(lease)
        hit("lease-renewed")
        return renewed

    def release(self, lease: Lease) -> None:
        """End a lease; does nothing if it was already lost."""
        with self._store.write() as connection:
            connection.execute(
                sa.update(studies)
                .where(studies.c.lease_token == lease.token)
                .values(lease_owner=None, lease_token=None, lease_expires_ms=None)
            )

    def verify(self, lease: Lease, connection: sa.Connection) -> None:
        """Check inside a transaction that the lease is still valid, so that its writes cannot be stale.

        Raises:
            LeaseLostError: if it is not.
        """
        if _read_lease(connection, lease.study, lock=True).lease_token != lease.token:
            raise _make_lost_error(lease)

    def find_control_request(self, name: str) -> ControlRequest | None:
        """Return the request that the study's supervisor has not handled yet."""
        query = sa.select(studies.c.control_request).where(studies.c.name == name)
        found: StoredRequest | None = self._store.query(lambda connection: connection.scalar(query))
        return None if found == "stopping" else found

    def is_stopping(self, name: str) -> bool:
        """Return whether a supervisor has begun to stop the study, and it has not ended since."""
        return self.get(name).control_request == "stopping"

    def keep_stop(self, name: str, *, connection: sa.Connection | None = None) -> None:
        """Store that a supervisor has begun to stop the study: whoever goes on with it stops it too."""
        with self._store.write(connection) as joined:
            is_open = studies.c.name == name, studies.c.state.not_in(ENDED_STATES)
            joined.execute(sa.update(studies).where(*is_open).values(control_request="stopping"))

    def set_control_request(
        self, name: str, control_request: ControlRequest | None, *, connection: sa.Connection | None = None
    ) -> None:
        """Store a request to the study's supervisor; None once it is handled."""
        self._update(name, connection, control_request=control_request)

    def find_holder(self, name: str) -> str | None:
        """Return the process that works on a study, in words; None if none does, as far as can be seen.

        Raises:
            InputError: if there is no such study.
        """
        return self.get(name).holder

    def find_unseen_holder(self, name: str) -> str | None:
        """Return the holder of a study that cannot be seen to be alive or dead, in words: `claim` watches it.

        Raises:
            InputError: if there is no such study.
        """
        owner = self.get(name).owner
        return describe_owner(owner) if owner is not None and is_alive(owner) is None else None

    def is_held(self, lease: Lease) -> bool:
        """Return whether a lease is still valid; see `verify`."""
        return self.has_token(lease.study, lease.token)

    def has_token(self, study: str, token: str) -> bool:
        """Return whether the lease on a study is the one of a token."""
        return self._store.query(lambda connection: _read_lease(connection, study)).lease_token == token

    def set_state(
        self, name: str, state: QueueState, reason: str = "", *, connection: sa.Connection | None = None
    ) -> None:
        """Record a study's state and the reason; a study that has ended is not stopping any more."""
        over = {"control_request": None} if state in ENDED_STATES else {}
        self._update(name, connection, state=state, reason=reason, changed_ms=now_ms(), **over)

    def set_archived(self, name: str, at_ms: int | None, *, connection: sa.Connection | None = None) -> None:
        """Record that a study is archived; None where it is listed again."""
        self._update(name, connection, archived_ms=at_ms)

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


@dataclass(frozen=True)
class _LeaseColumns:
    """Columns of a lease in the database."""

    lease_owner: str | None
    lease_token: str | None
    lease_renewals: int


def _read_lease(connection: sa.Connection, name: str, *, lock: bool = False) -> _LeaseColumns:
    query = sa.select(studies.c.lease_owner, studies.c.lease_token, studies.c.lease_renewals)
    query = query.where(studies.c.name == name)
    return _LeaseColumns(*connection.execute(query.with_for_update() if lock else query).one())


def _make_busy_error(name: str, owner: str | None) -> StudyBusyError:
    return StudyBusyError(
        f'study "{name}" is being worked on by {describe_owner(owner)}: wait for it, or stop that process and run again'
    )


def _find_record(connection: sa.Connection, name: str) -> StudyRecord | None:
    row = connection.execute(_select(connection).where(studies.c.name == name)).one_or_none()
    return None if row is None else _parse_row(row)


def _select(connection: sa.Connection) -> sa.Select[tuple[object, ...]]:
    over = sa.func.coalesce(studies.c.lease_expires_ms < read_now(connection), False)
    return sa.select(studies, over.label("lease_is_over"))


def _parse_row(row: sa.Row[tuple[object, ...]]) -> StudyRecord:
    values = dict(row._mapping)
    token, renewals, _ = (values.pop(internal) for internal in ("lease_token", "lease_renewals", "lease_expires_ms"))
    values["lease_mark"] = _make_mark(token, renewals)
    # SQLite has no booleans.
    values["lease_is_over"] = bool(values["lease_is_over"])
    values["owner"] = values.pop("lease_owner")
    values["counts"] = json.loads(values["counts"])
    return StudyRecord(**values)


def _make_row(name: str, document: str, digest: str, folder: str) -> dict[str, object]:
    return {
        "name": name,
        "document": document,
        "digest": digest,
        "folder": folder,
        "state": "queued",
        "reason": "",
        "created_ms": (created_ms := now_ms()),
        "changed_ms": created_ms,
        "elapsed_s": 0.0,
        "lease_renewals": 0,
        "counts": "{}",
    }


def _make_mark(token: object, renewals: object) -> str:
    return f"{token}/{renewals}" if token else ""


def _make_lease_row(lease: Lease, connection: sa.Connection) -> dict[str, object]:
    return {
        "lease_owner": lease.owner,
        "lease_token": lease.token,
        "lease_renewals": lease.renewals,
        "lease_expires_ms": read_now(connection) + int(lease.ttl_s * 1000),
    }


def _make_lost_error(lease: Lease) -> LeaseLostError:
    return LeaseLostError(f'the lease on study "{lease.study}" was taken over by another supervisor')
