"""Submissions to the service: submitter, priority and start of each study; requests by idempotency key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from tracking.store.accounts import Identity
from tracking.store.clock import read_now
from tracking.store.database import Store
from tracking.store.tables import now_ms, requests, studies, submissions

_REQUEST_LIFETIME_MS = 7 * 86_400_000


@dataclass(frozen=True)
class Submission:
    """One submitted study.

    Attributes:
        submitter: name of the submitter, for display.
        submitter_id: id of the submitter's account, which owns the study; `local:` and a name for a person who
            submitted on the home itself.
        priority: of two studies that wait, the one with the higher priority starts first.
        started_ms: time of its latest start; None before the first.
        trials_at_once: most trials at once, as allowed at its latest start; None for any number.
        notified_bytes: length of the part of its event log that notifications were sent for.
    """

    study: str
    submitter: str
    submitter_id: str
    priority: int
    submitted_ms: int
    started_ms: int | None
    trials_at_once: int | None
    notified_bytes: int


@dataclass(frozen=True)
class NewestStudy:
    """A submitted study in a short list."""

    name: str
    state: str
    submitter: str
    submitted_ms: int


@dataclass(frozen=True)
class Request:
    """Request under an idempotency key: its digest, and the study that it submitted."""

    digest: str
    study: str


class Submissions:
    """Tables of submissions and of requests. Methods that take a `connection` join its transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, study: str, submitter: Identity, priority: int, connection: sa.Connection) -> bool:
        """Add a submission, or change the priority of the present one; return whether it is new."""
        # SQLAlchemy has an upsert for each database, and none for all.
        changed = connection.execute(
            sa.update(submissions).where(submissions.c.study == study).values(priority=priority)
        ).rowcount
        if changed:
            return False
        row = {
            "study": study,
            "submitter": submitter.name,
            "submitter_id": submitter.id,
            "priority": priority,
            "submitted_ms": now_ms(),
            "notified_bytes": 0,
        }
        connection.execute(sa.insert(submissions).values(**row))
        return True

    def find(self, study: str, connection: sa.Connection | None = None) -> Submission | None:
        """Return a study's submission; None where it was not submitted to the service."""
        query = sa.select(submissions).where(submissions.c.study == study)
        if connection is not None:
            return _parse_row(connection.execute(query).one_or_none())
        with self._store.read() as reading:
            return _parse_row(reading.execute(query).one_or_none())

    def count_waiting(self, submitter_id: str, connection: sa.Connection) -> int:
        """Return how many studies of a submitter wait for their start."""
        joined = sa.join(submissions, studies, submissions.c.study == studies.c.name)
        waiting = submissions.c.submitter_id == submitter_id, studies.c.state == "queued"
        return int(connection.scalar(sa.select(sa.func.count()).select_from(joined).where(*waiting)) or 0)

    def list(self) -> tuple[Submission, ...]:
        """Return every submission, the earliest first."""
        query = sa.select(submissions).order_by(submissions.c.submitted_ms, submissions.c.study)
        with self._store.read() as connection:
            return tuple(Submission(**row._mapping) for row in connection.execute(query))

    def find_many(self, studies: Iterable[str]) -> Mapping[str, Submission]:
        """Return the submissions of some studies by their names."""
        query = sa.select(submissions).where(submissions.c.study.in_(list(studies)))
        with self._store.read() as connection:
            return {row.study: Submission(**row._mapping) for row in connection.execute(query)}

    def list_newest(self, limit: int) -> tuple[NewestStudy, ...]:
        """Return the studies that came last, those of `kerastudy run` on the home included, without archived ones."""
        submitted_ms = sa.func.coalesce(submissions.c.submitted_ms, studies.c.created_ms).label("submitted_ms")
        submitter = sa.func.coalesce(submissions.c.submitter, "").label("submitter")
        query = (
            sa.select(studies.c.name, studies.c.state, submitter, submitted_ms)
            .join_from(studies, submissions, submissions.c.study == studies.c.name, isouter=True)
            .where(studies.c.archived_ms.is_(None))
            .order_by(submitted_ms.desc(), studies.c.name)
            .limit(limit)
        )
        with self._store.read() as connection:
            return tuple(NewestStudy(**row._mapping) for row in connection.execute(query))

    def find_last_started_ms(self) -> Mapping[str, int]:
        """Return the latest start of a study of each submitter, by id; none for a submitter without one."""
        latest, owner = sa.func.max(submissions.c.started_ms), submissions.c.submitter_id
        query = sa.select(owner, latest).group_by(owner).having(latest.is_not(None))
        with self._store.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def record_start(self, study: str, trials_at_once: int | None, connection: sa.Connection | None = None) -> None:
        """Record that a study starts now, and the most trials that it may train at once."""
        with self._store.write(connection) as joined:
            # By the database's clock: fairness between submitters compares starts on several hosts.
            values = {"started_ms": read_now(joined), "trials_at_once": trials_at_once}
            joined.execute(sa.update(submissions).where(submissions.c.study == study).values(**values))

    def record_notified(self, study: str, until: int) -> None:
        """Record up to which byte of a study's event log notifications were sent."""
        self._update(study, notified_bytes=until)

    def _update(self, study: str, **values: object) -> None:
        with self._store.write() as connection:
            connection.execute(sa.update(submissions).where(submissions.c.study == study).values(**values))

    def find_request(self, submitter_id: str, key: str, connection: sa.Connection) -> Request | None:
        """Return a submitter's request under an idempotency key."""
        query = sa.select(requests.c.digest, requests.c.study)
        row = connection.execute(query.where(requests.c.submitter == submitter_id, requests.c.key == key)).one_or_none()
        return None if row is None else Request(*row)

    def store_request(self, submitter_id: str, key: str, request: Request, connection: sa.Connection) -> None:
        """Store a request under an idempotency key, for a week."""
        # Expired requests are removed here, because nothing else runs regularly.
        connection.execute(sa.delete(requests).where(requests.c.created_ms < now_ms() - _REQUEST_LIFETIME_MS))
        row = {"submitter": submitter_id, "key": key, "digest": request.digest, "study": request.study}
        connection.execute(sa.insert(requests).values(**row, created_ms=now_ms()))


def _parse_row(row: sa.Row[tuple[object, ...]] | None) -> Submission | None:
    return None if row is None else Submission(**row._mapping)
