"""Deletions of studies: stored before the first thing is removed, so that a kill leaves no study halfway for good."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from tracking.store.database import Store
from tracking.store.tables import (
    deletions,
    model_digests,
    notifications,
    now_ms,
    outbox,
    registered_names,
    requests,
    retrainings,
    studies,
    submissions,
)

# Rows that go with a study, each with a column `study`. The row of the study itself goes last.
_OF_A_STUDY = (retrainings, model_digests, notifications, submissions, requests, deletions)


@dataclass(frozen=True)
class Deletion:
    """A deletion that is not complete.

    Attributes:
        with_promoted: whether registered versions that have an alias go too.
    """

    study: str
    with_promoted: bool
    requested_ms: int


class Deletions:
    """Table of the deletions that are not complete. Methods that take a `connection` join its transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, study: str, connection: sa.Connection, *, with_promoted: bool) -> None:
        """Store that a study is to be deleted; a deletion that is stored stays as it is."""
        if self.find(study, connection) is None:
            row = {"study": study, "with_promoted": with_promoted, "requested_ms": now_ms()}
            connection.execute(sa.insert(deletions).values(**row))

    def find(self, study: str, connection: sa.Connection | None = None) -> Deletion | None:
        """Return the deletion of a study that is not complete; None if there is none."""
        query = sa.select(deletions).where(deletions.c.study == study)
        if connection is None:
            with self._store.read() as reading:
                row = reading.execute(query).one_or_none()
        else:
            row = connection.execute(query).one_or_none()
        return None if row is None else Deletion(**row._mapping)

    def list(self) -> tuple[Deletion, ...]:
        """Return the deletions that are not complete, the earliest first."""
        with self._store.read() as connection:
            rows = connection.execute(sa.select(deletions).order_by(deletions.c.requested_ms, deletions.c.study))
            return tuple(Deletion(**row._mapping) for row in rows)

    def remove_rows(self, study: str, recorded_as: str | None, connection: sa.Connection) -> None:
        """Remove the rows of a study, but for Optuna's.

        Args:
            study: its name in the queue.
            recorded_as: its name in the outbox; None where another study has the same name there.
            connection: the transaction.
        """
        for table in _OF_A_STUDY:
            connection.execute(sa.delete(table).where(table.c.study == study))
        if recorded_as is not None:
            connection.execute(sa.delete(outbox).where(outbox.c.study == recorded_as))
        connection.execute(sa.delete(studies).where(studies.c.name == study))


def list_registered_names(study: str, connection: sa.Connection) -> tuple[str, ...]:
    """Return the registered names that a study was the first to use."""
    return tuple(connection.scalars(sa.select(registered_names.c.name).where(registered_names.c.study == study)))


def release_registered_name(name: str, heir: str | None, connection: sa.Connection) -> None:
    """Give a registered name to another study that registers under it; without one, make the name free.

    The owner stays with the name, whoever submitted the other study.
    """
    if heir is None:
        connection.execute(sa.delete(registered_names).where(registered_names.c.name == name))
    else:
        connection.execute(sa.update(registered_names).where(registered_names.c.name == name).values(study=heir))
