"""Notifications that wait for their receivers, and the position of each receiver among them.

A notification is one row, stored in one transaction with the position in its study's events. A receiver has one
number: the id of the last row that it took. So receivers do not depend on each other, and a kill loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tracking.store.database import Store
from tracking.store.tables import notification_receivers, notifications, now_ms, studies, submissions


@dataclass(frozen=True)
class Notification:
    """One notification.

    Attributes:
        kind: `finished`, `failed` or `new_best`.
        content: what receivers get.
    """

    id: int
    study: str
    kind: str
    content: Mapping[str, Any]
    created_ms: int


@dataclass(frozen=True)
class EventPosition:
    """Position in the events of one study, as stored.

    Attributes:
        is_over: whether the study has ended, so that few events can follow.
        read_bytes: length of the part of its event log that was read for notifications.
    """

    study: str
    submitter: str
    submitted_ms: int
    is_over: bool
    read_bytes: int


class Notifications:
    """Tables of notifications and of their receivers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_positions(self, *, ended: Collection[str] | None = None) -> tuple[EventPosition, ...]:
        """Return the positions in the events of submitted studies: of all, or of those that go on.

        Args:
            ended: names of ended studies to return besides those that go on; None for all studies.
        """
        over = studies.c.state.in_(("finished", "failed", "cancelled"))
        columns = (submissions.c.study, submissions.c.submitter, submissions.c.submitted_ms, over)
        query = sa.select(*columns, submissions.c.notified_bytes).join(studies, studies.c.name == submissions.c.study)
        if ended is not None:
            query = query.where(sa.or_(sa.not_(over), studies.c.name.in_(list(ended))))
        with self._store.read() as connection:
            rows = connection.execute(query)
            return tuple(EventPosition(row[0], row[1], row[2], bool(row[3]), row[4]) for row in rows)

    def add(self, study: str, found: Sequence[tuple[str, Mapping[str, Any]]], read_bytes: int) -> None:
        """Store notifications of a study, each a kind and a content, and the position up to which they were read."""
        rows = [
            {"study": study, "kind": kind, "content": json.dumps(content), "created_ms": now_ms()}
            for kind, content in found
        ]
        with self._store.write() as connection:
            if rows:
                connection.execute(sa.insert(notifications), rows)
            position = sa.update(submissions).where(submissions.c.study == study)
            connection.execute(position.values(notified_bytes=read_bytes))

    def set_receivers(self, names: Collection[str]) -> None:
        """Make these the receivers: a new one gets what is added from now on, a former one is forgotten."""
        with self._store.write() as connection:
            known = set(connection.scalars(sa.select(notification_receivers.c.receiver)))
            former = notification_receivers.c.receiver.not_in(list(names))
            connection.execute(sa.delete(notification_receivers).where(former))
            latest = connection.scalar(sa.select(sa.func.max(notifications.c.id))) or 0
            new = [{"receiver": name, "position": latest, "since_ms": now_ms()} for name in names if name not in known]
            if new:
                connection.execute(sa.insert(notification_receivers), new)
            _delete_delivered(connection)

    def has_receivers(self) -> bool:
        """Return whether there was any receiver at the latest start of the service."""
        with self._store.read() as connection:
            return connection.execute(sa.select(notification_receivers).limit(1)).one_or_none() is not None

    def find_next(self, receiver: str) -> Notification | None:
        """Return the oldest notification that a receiver has not taken; None where there is none."""
        waiting = _select_waiting(receiver, notifications).order_by(notifications.c.id).limit(1)
        with self._store.read() as connection:
            row = connection.execute(waiting).one_or_none()
        return None if row is None else Notification(row[0], row[1], row[2], json.loads(row[3]), row[4])

    def count_waiting(self) -> int:
        """Return how many notifications wait, for any receiver."""
        with self._store.read() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(notifications)) or 0

    def record_taken(self, receiver: str, notification: int) -> None:
        """Record the last notification that a receiver took; delete those that all receivers have."""
        with self._store.write() as connection:
            _set_position(connection, receiver, notification)

    def drop_oldest(self, receiver: str, most: int) -> int:
        """Pass a receiver over the oldest of more than `most` waiting notifications; return how many it passes."""
        ids = _select_waiting(receiver, notifications.c.id).order_by(notifications.c.id.desc()).offset(most)
        with self._store.read() as connection:
            dropped = connection.scalars(ids).all()
        if dropped:
            self.record_taken(receiver, dropped[0])
        return len(dropped)


def _select_waiting(receiver: str, *columns: Any) -> sa.Select[Any]:
    position = sa.select(notification_receivers.c.position).where(notification_receivers.c.receiver == receiver)
    return sa.select(*columns).where(notifications.c.id > position.scalar_subquery())


def _set_position(connection: sa.Connection, receiver: str, notification: int) -> None:
    changed = sa.update(notification_receivers).where(notification_receivers.c.receiver == receiver)
    connection.execute(changed.values(position=notification))
    _delete_delivered(connection)


def _delete_delivered(connection: sa.Connection) -> None:
    slowest = sa.select(sa.func.min(notification_receivers.c.position)).scalar_subquery()
    # Where there is no receiver, nothing waits.
    has_all = notifications.c.id <= sa.func.coalesce(slowest, 2**62)
    connection.execute(sa.delete(notifications).where(has_all))
