"""Snapshots of a store: a consistent copy in an SQLite file, taken while others write, and a store made of one.

An SQLite store is copied by SQLite's backup API, one on PostgreSQL by reading all tables in one REPEATABLE READ
transaction. So a snapshot is one file in either case: it needs no program of the server's version, can be opened
anywhere, and becomes a store on either database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Set
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from search_spaces.errors import ConflictError, KerastudyError
from tracking.store.connections import FILE_NAME
from tracking.store.database import Store
from tracking.store.row_copy import copy_rows, open_read_only, read_at_one_moment
from tracking.store.tables import SCHEMA_VERSION, metadata, outbox, studies


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy an SQLite database that may be in use, as it is at one moment, to a new file without a write-ahead log."""
    with (
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=60)) as opened,
        closing(sqlite3.connect(target)) as copy,
    ):
        # In one step: in several, each write of another process would begin it anew.
        opened.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")


def take_snapshot(store: Store, target: Path) -> None:
    """Copy a store, as it is at one moment, to a new SQLite file."""
    if store.engine.dialect.name == "sqlite":
        copy_sqlite(Path(str(store.engine.url.database)), target)
        return
    folder = target.parent / f".{target.name}-aside"
    with _open_new(folder) as aside, read_at_one_moment(store.engine) as reading, aside.write() as writing:
        copy_rows(reading, writing, [*_list_tables(reading)])
    copy_sqlite(folder / FILE_NAME, target)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def check_empty(url: str) -> None:
    """Check that a store on a database server has no studies; changes nothing.

    Raises:
        ConflictError: if it has.
        KerastudyError: if it cannot be opened.
    """
    if Store.find_version(url) is None:
        return
    with Store.open(url) as store, store.read() as connection:
        _check_no_studies(store, connection)


def load_snapshot(snapshot: Path, url: str, *, replaces: bool = False) -> None:
    """Fill a store on a database server with the rows of a snapshot, in one transaction.

    Args:
        snapshot: the snapshot.
        url: address of the store.
        replaces: whether the studies that it has are replaced; otherwise it must have none.

    Raises:
        ConflictError: if the store has studies.
        KerastudyError: if it cannot be opened.
    """
    with Store.open(url) as store:
        store.open_optuna_storage().engine.dispose()
        with open_read_only(snapshot).connect() as reading, store.write() as writing:
            if not replaces:
                _check_no_studies(store, writing)
            copy_rows(reading, writing, [*_list_tables(reading)])


class SnapshotReader:
    """Reader of a snapshot; changes nothing, and creates no file beside it.

    Args:
        file: the snapshot.

    Raises:
        KerastudyError: if it is no complete store of a schema that this version reads.
    """

    def __init__(self, file: Path) -> None:
        self._engine = open_read_only(file)
        try:
            with self._engine.connect() as connection:
                found = str(connection.scalar(sa.text("PRAGMA integrity_check")))
                about = {
                    row.key: row.value for row in connection.execute(sa.text("SELECT key, value FROM kerastudy_about"))
                }
        except sa.exc.DatabaseError as error:
            self.close()
            raise KerastudyError(f"{file} is damaged, or no store of kerastudy: {error.orig}") from error
        self.schema = int(about.get("schema_version", -1))
        if found != "ok" or self.schema > SCHEMA_VERSION:
            self.close()
            reason = f"its integrity check: {found}" if found != "ok" else f"schema {self.schema} is newer"
            raise KerastudyError(f"{file} cannot be used: {reason}")

    def close(self) -> None:
        """Close it."""
        self._engine.dispose()

    def list_studies(self) -> tuple[str, ...]:
        """Return the names of its studies."""
        with self._engine.connect() as connection:
            return tuple(connection.scalars(sa.select(studies.c.name).order_by(studies.c.name)))

    def list_trials(self) -> Mapping[str, Set[int]]:
        """Return the numbers of the trials of each study in Optuna, by its name there."""
        query = "SELECT s.study_name, t.number FROM trials t JOIN studies s ON s.study_id = t.study_id"
        found: dict[str, set[int]] = {}
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table("trials"):
                return {}
            for name, number in connection.execute(sa.text(query)):
                found.setdefault(name, set()).add(number)
        return found


def move_paths(store: Store, before: Path, after: Path, connection: sa.Connection) -> None:
    """Replace the folder of a home in the records that wait for MLflow, after it was moved.

    Args:
        store: the store.
        before: the home's folder when they were written.
        after: its folder now.
        connection: the transaction.
    """
    del store
    # As JSON writes it, with the slash: /a/home is no part of /a/home-2.
    old, new = (f"{folder}/".replace("\\", "\\\\").replace('"', '\\"') for folder in (before, after))
    moved = sa.func.replace(outbox.c.payload, old, new)
    connection.execute(sa.update(outbox).where(outbox.c.payload.contains(old, autoescape=True)).values(payload=moved))


def release_leases(connection: sa.Connection) -> None:
    """End all leases: their holders work on the store that was copied."""
    connection.execute(sa.update(studies).values(lease_owner=None, lease_token=None, control_request=None))


def _check_no_studies(store: Store, connection: sa.Connection) -> None:
    if connection.scalar(sa.select(sa.func.count()).select_from(studies)):
        raise ConflictError(f"{store} has studies: expected an empty database to restore into")


def _open_new(folder: Path) -> Store:
    folder.mkdir(parents=True)
    store = Store.open(folder)
    store.open_optuna_storage().engine.dispose()
    return store


def _list_tables(connection: sa.Connection) -> Iterator[sa.Table]:
    """Yield kerastudy's tables and Optuna's, each after those that it refers to."""
    from optuna.storages._rdb import models  # private: no public way copies rows

    present = set(sa.inspect(connection).get_table_names())
    optuna_tables: Any = models.BaseModel.metadata.sorted_tables
    for table in (*metadata.sorted_tables, *optuna_tables):
        if table.name in present:
            yield table
