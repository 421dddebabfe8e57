"""Turns of waiting studies, one after the other, whichever host takes them.

Several hosts choose from the same queue at once, each by what it has read. Each turn has a number: whoever takes the
next one does so in a transaction that fails if another host has taken a turn since the queue was read. So quotas and
fairness hold across hosts as they do on one, and no study is started twice.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from tracking.store.database import Store
from tracking.store.study_queue import Lease, StudyQueue, StudyRecord
from tracking.store.submissions import Submissions
from tracking.store.tables import about

_KEY: Final = "turn"


class Turns:
    """Turns of the studies of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue = StudyQueue(store)
        self._submissions = Submissions(store)

    def read(self) -> int:
        """Return the number of turns so far; read it before the queue."""
        with self._store.read() as connection:
            return int(connection.scalar(_QUERY) or 0)

    def take(
        self, turn: int, record: StudyRecord, owner: str, ttl_s: float, trials_at_once: int | None
    ) -> Lease | None:
        """Lease a study whose turn it is, and record its start.

        Args:
            turn: the number of turns when the queue was read.
            record: the study as it was read.
            owner: the process that takes it.
            ttl_s: length of the lease.
            trials_at_once: most trials that it may train at once.

        Returns:
            The lease; None if another process was faster, and the queue is to be read again.
        """
        try:
            with self._store.write() as connection:
                if not _advance(connection, turn):
                    return None
                lease = self._queue.take(record, owner, ttl_s, connection)
                if lease is not None:
                    self._submissions.record_start(record.name, trials_at_once, connection)
                return lease
        # The first turn of a store: two processes add the row.
        except sa.exc.IntegrityError:
            return None


_QUERY: Final = sa.select(about.c.value).where(about.c.key == _KEY)


def _advance(connection: sa.Connection, turn: int) -> bool:
    unchanged = about.c.key == _KEY, about.c.value == str(turn)
    if connection.execute(sa.update(about).where(*unchanged).values(value=str(turn + 1))).rowcount:
        return True
    if turn or connection.scalar(_QUERY) is not None:
        return False
    connection.execute(sa.insert(about).values(key=_KEY, value=str(turn + 1)))
    return True
