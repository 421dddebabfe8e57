"""What the service knows of a study besides the study: who submitted it, how urgent it is, and when it was begun."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from tracking.store.database import Store, now_ms, requests, submissions

_REMEMBERED_MS = 7 * 86_400_000


@dataclass(frozen=True)
class Submission:
    """One submitted study.

    Attributes:
        priority: of two studies that wait, the one with the higher priority begins first.
        started_ms: when it was begun last; None before.
        trials_at_once: how many trials it was allowed to train at once when it was begun; None for any number.
        noticed: how much of its events people were notified of, in bytes.
    """

    study: str
    submitter: str
    priority: int
    submitted_ms: int
    started_ms: int | None
    trials_at_once: int | None
    noticed: int


@dataclass(frozen=True)
class Request:
    """What was submitted under an idempotency key: the digest of the request, and the study that came of it."""

    digest: str
    study: str


class Submissions:
    """The tables of submissions and of requests. Methods that take a `connection` join its transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, study: str, submitter: str, priority: int, connection: sa.Connection) -> bool:
        """Add a submission, or change the priority of the one there is; say whether it is new."""
        changed = connection.execute(
            sa.update(submissions).where(submissions.c.study == study).values(priority=priority)
        ).rowcount
        if changed:
            return False
        row = {"study": study, "submitter": submitter, "priority": priority, "submitted_ms": now_ms(), "noticed": 0}
        connection.execute(sa.insert(submissions).values(**row))
        return True

    def find(self, study: str, connection: sa.Connection | None = None) -> Submission | None:
        """Return a study's submission; None where it was not submitted to the service."""
        asked = sa.select(submissions).where(submissions.c.study == study)
        if connection is not None:
            return _submission(connection.execute(asked).one_or_none())
        with self._store.read() as reading:
            return _submission(reading.execute(asked).one_or_none())

    def list(self) -> tuple[Submission, ...]:
        """Return every submission, the earliest first."""
        asked = sa.select(submissions).order_by(submissions.c.submitted_ms, submissions.c.study)
        with self._store.read() as connection:
            return tuple(Submission(**row._mapping) for row in connection.execute(asked))

    def of(self, studies: Iterable[str]) -> Mapping[str, Submission]:
        """Return the submissions of some studies by their names."""
        asked = sa.select(submissions).where(submissions.c.study.in_(list(studies)))
        with self._store.read() as connection:
            return {row.study: Submission(**row._mapping) for row in connection.execute(asked)}

    def last_started_ms(self) -> Mapping[str, int]:
        """Return when each submitter's latest study was begun, of those that have begun any."""
        latest = sa.func.max(submissions.c.started_ms)
        asked = sa.select(submissions.c.submitter, latest).group_by(submissions.c.submitter).having(latest.is_not(None))
        with self._store.read() as connection:
            return {row[0]: row[1] for row in connection.execute(asked)}

    def started(self, study: str, trials_at_once: int | None) -> None:
        """Record that a study was begun now, and how many trials it may train at once."""
        self._update(study, started_ms=now_ms(), trials_at_once=trials_at_once)

    def noticed(self, study: str, until: int) -> None:
        """Record how much of a study's events people were notified of."""
        self._update(study, noticed=until)

    def _update(self, study: str, **values: object) -> None:
        with self._store.write() as connection:
            connection.execute(sa.update(submissions).where(submissions.c.study == study).values(**values))

    def request(self, submitter: str, key: str, connection: sa.Connection) -> Request | None:
        """Return what a submitter submitted under an idempotency key."""
        asked = sa.select(requests.c.digest, requests.c.study)
        row = connection.execute(asked.where(requests.c.submitter == submitter, requests.c.key == key)).one_or_none()
        return None if row is None else Request(*row)

    def remember(self, submitter: str, key: str, request: Request, connection: sa.Connection) -> None:
        """Remember what was submitted under an idempotency key, for a week."""
        connection.execute(sa.delete(requests).where(requests.c.created_ms < now_ms() - _REMEMBERED_MS))
        row = {"submitter": submitter, "key": key, "digest": request.digest, "study": request.study}
        connection.execute(sa.insert(requests).values(**row, created_ms=now_ms()))


def _submission(row: sa.Row[tuple[object, ...]] | None) -> Submission | None:
    return None if row is None else Submission(**row._mapping)
