"""Copies of rows from one database to another, table by table, in the transactions of the caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import sqlalchemy as sa

_ROWS: Final = 1000


def open_read_only(file: Path) -> sa.Engine:
    """Return an engine for an SQLite file that nobody writes to; no file is created beside it."""
    # immutable: no lock file and no log beside it.
    address = f"{file.resolve().as_uri()}?immutable=1"
    return sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=sa.NullPool)


def read_at_one_moment(engine: sa.Engine) -> sa.Connection:
    """Return a connection to PostgreSQL whose one transaction sees the database as it is now, and writes nothing."""
    return engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def copy_rows(source: sa.Connection, target: sa.Connection, tables: Sequence[sa.Table]) -> None:
    """Copy the rows of tables; those that the target has already are replaced.

    Args:
        source: where they are read.
        target: where they are written, in the transaction of the caller.
        tables: each after those that it refers to.
    """
    for table in reversed(tables):
        target.execute(sa.delete(table))
    for table in tables:
        rows = source.execution_options(stream_results=True).execute(sa.select(table))
        for part in rows.mappings().partitions(_ROWS):
            target.execute(sa.insert(table), [dict(row) for row in part])
    _continue_sequences(target, tables)


def _continue_sequences(connection: sa.Connection, tables: Sequence[sa.Table]) -> None:
    """Let PostgreSQL number new rows after those that were copied."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        column = table.autoincrement_column
        if column is not None:
            sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
            largest = sa.select(sa.func.coalesce(sa.func.max(column), 0)).scalar_subquery()
            connection.execute(sa.select(sa.func.setval(sequence, largest + 1, False)))
