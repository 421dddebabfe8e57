"""The outbox: rows for MLflow, stored with the study's state and deleted when MLflow has taken them.

A row that MLflow refuses is set aside with its error, so that it does not hold up the study.
`tracking.outbox.dispatcher` delivers the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tracking.outbox.records import Record, StudyClosed, StudyOpened, decode_record, encode_record
from tracking.store.database import Store
from tracking.store.tables import now_ms, outbox

# The last delivered one of each stays: later rows of a study need its opening, `rebuild-tracking` its end.
_KEPT: Final = (StudyOpened, StudyClosed)
# SQLite limits the number of variables in one statement.
_ROWS_A_STATEMENT: Final = 400


@dataclass(frozen=True)
class Row:
    """One row of the outbox."""

    id: int
    study: str
    record: Record
    attempts: int


@dataclass(frozen=True)
class Backlog:
    """Rows that MLflow has not taken: waiting, or set aside after errors; and the latest error."""

    pending: int
    set_aside: int
    last_error: str

    @property
    def rows(self) -> int:
        """Number of rows that MLflow has not taken."""
        return self.pending + self.set_aside


class Outbox:
    """Table of the rows to deliver. It needs no MLflow."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, rows: Sequence[Record], connection: sa.Connection | None = None) -> None:
        """Store rows in one transaction, or as part of the transaction of `connection` (`Store.write`)."""
        if not rows:
            return
        with self._store.write(connection) as joined:
            joined.execute(sa.insert(outbox), [_make_row(record) for record in rows])

    def add_or_replace(self, study: str, rows: Sequence[Record], connection: sa.Connection) -> None:
        """Store rows of a study again; a new row replaces a waiting one with the same content."""
        contents = {encode_record(record) for record in rows}
        waiting = connection.execute(sa.select(outbox).where(*_match_study(study), outbox.c.status != "kept"))
        repeated = [row.id for row in waiting if (row.kind, row.payload) in contents]
        for some in _divide(repeated):
            connection.execute(sa.delete(outbox).where(outbox.c.id.in_(some)))
        self.add(rows, connection)

    def count_pending(self, study: str | None = None) -> int:
        """Return the number of rows that wait, of one study or of all."""
        return self.read_backlog(study).pending

    def read_backlog(self, study: str | None = None) -> Backlog:
        """Return the numbers of rows that wait or were set aside, and the latest error."""

        def read(connection: sa.Connection) -> Backlog:
            counted = sa.select(outbox.c.status, sa.func.count()).where(*_match_study(study)).group_by(outbox.c.status)
            counts = {row[0]: int(row[1]) for row in connection.execute(counted)}
            error = connection.scalar(
                sa.select(outbox.c.last_error)
                .where(*_match_study(study), outbox.c.last_error != "", outbox.c.status != "kept")
                .order_by(outbox.c.id.desc())
                .limit(1)
            )
            return Backlog(counts.get("waiting", 0), counts.get("set_aside", 0), error or "")

        return self._store.query(read)

    def find_oldest_ms(self) -> int | None:
        """Return the time of the oldest row that waits, in milliseconds since 1970; None where none does."""
        with self._store.read() as connection:
            oldest = connection.scalar(sa.select(sa.func.min(outbox.c.created_ms)).where(outbox.c.status == "waiting"))
        return None if oldest is None else int(oldest)

    def list_studies(self) -> tuple[str, ...]:
        """Return the studies with undelivered rows, the longest waiting first."""
        with self._store.read() as connection:
            found = connection.execute(
                sa.select(outbox.c.study)
                .where(outbox.c.status != "kept")
                .group_by(outbox.c.study)
                .order_by(sa.func.min(outbox.c.id))
            )
            return tuple(row.study for row in found)

    def read_next_rows(self, study: str | None, limit: int) -> list[Row]:
        """Return the oldest waiting rows."""
        waiting = sa.select(outbox).where(*_match_study(study), outbox.c.status == "waiting")
        query = waiting.order_by(outbox.c.id).limit(limit)
        found = self._store.query(lambda connection: connection.execute(query).all())
        return [Row(row.id, row.study, decode_record(row.kind, row.payload), row.attempts) for row in found]

    def list_opened(self, study: str | None) -> list[StudyOpened]:
        """Return the last delivered `StudyOpened` of each study; later rows of the study need it."""
        with self._store.read() as connection:
            found = connection.execute(
                sa.select(outbox).where(*_match_study(study), outbox.c.status == "kept").order_by(outbox.c.id)
            ).all()
        kept = [decode_record(row.kind, row.payload) for row in found]
        return [record for record in kept if isinstance(record, StudyOpened)]

    def find_closed(self, study: str) -> StudyClosed | None:
        """Return the last `StudyClosed` of a study, delivered or not; None where it never ended or paused."""
        with self._store.read() as connection:
            found = connection.execute(
                sa.select(outbox)
                .where(*_match_study(study), outbox.c.kind == StudyClosed.__name__)
                .order_by(outbox.c.id.desc())
                .limit(1)
            ).one_or_none()
        record = None if found is None else decode_record(found.kind, found.payload)
        return record if isinstance(record, StudyClosed) else None

    def acknowledge(self, rows: Sequence[Row]) -> None:
        """Delete delivered rows, except a study's last `StudyOpened` and `StudyClosed`, which are kept."""
        with self._store.write() as connection:
            for row in rows:
                if isinstance(row.record, _KEPT):
                    same = (
                        *_match_study(row.study),
                        outbox.c.kind == type(row.record).__name__,
                        outbox.c.status == "kept",
                    )
                    connection.execute(sa.delete(outbox).where(*same))
                    kept = sa.update(outbox).where(outbox.c.id == row.id)
                    connection.execute(kept.values(status="kept", last_error=""))
            done = [row.id for row in rows if not isinstance(row.record, _KEPT)]
            for some in _divide(done):
                connection.execute(sa.delete(outbox).where(outbox.c.id.in_(some)))

    def record_error(self, rows: Sequence[Row], error: str, *, attempts: int, set_aside: bool = False) -> None:
        """Store an error with rows, and the number of attempts so far; set the rows aside with `set_aside`."""
        values: dict[str, object] = {"last_error": error, "attempts": attempts}
        if set_aside:
            values["status"] = "set_aside"
        with self._store.write() as connection:
            for some in _divide([row.id for row in rows]):
                connection.execute(sa.update(outbox).where(outbox.c.id.in_(some)).values(**values))

    def retry_set_aside(self, study: str | None = None, *, attempts: int = 0) -> None:
        """Let rows that were set aside wait again, in their old order, with `attempts` counted already."""
        with self._store.write() as connection:
            connection.execute(
                sa.update(outbox)
                .where(*_match_study(study), outbox.c.status == "set_aside")
                .values(status="waiting", attempts=attempts)
            )


def _divide(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + _ROWS_A_STATEMENT] for start in range(0, len(ids), _ROWS_A_STATEMENT))


def _match_study(study: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    return () if study is None else (outbox.c.study == study,)


def _make_row(record: Record) -> dict[str, object]:
    kind, payload = encode_record(record)
    return {
        "study": record.study,
        "kind": kind,
        "payload": payload,
        "created_ms": now_ms(),
        "attempts": 0,
        "last_error": "",
        "status": "waiting",
    }
