"""Copies of MLflow's database: a consistent one in an SQLite file while others write, and a database filled from it.

As with the store (`tracking/store/snapshot.py`), a copy is one file whatever the database is, and becomes either. Its
tables are those that the installed MLflow creates, so both sides must have the schema of this MLflow: a copy of
another one is refused, since MLflow alone can bring it up.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from search_spaces.errors import ConflictError, KerastudyError
from tracking.mlflow.database import create_database
from tracking.mlflow.urls import hide_password
from tracking.store.connections import make_engine_options, parse_address
from tracking.store.row_copy import copy_rows, open_read_only, read_at_one_moment
from tracking.store.snapshot import copy_sqlite

_SQLITE = "sqlite:///"
_VERSION = "alembic_version"


def is_database(uri: str) -> bool:
    """Return whether a tracking URI names a database that can be copied: an SQLite file, or PostgreSQL."""
    return uri.startswith((_SQLITE, "postgresql"))


def take_mlflow_snapshot(uri: str, target: Path) -> None:
    """Copy MLflow's database, as it is at one moment, to a new SQLite file.

    Args:
        uri: URI of the database; see `is_database`.
        target: the file.

    Raises:
        KerastudyError: if it cannot be read, or is of another version of MLflow.
    """
    if uri.startswith(_SQLITE):
        copy_sqlite(Path(uri.removeprefix(_SQLITE)), target)
        return
    _silence()
    aside = target.with_name(f"{target.name}-aside")
    create_database(aside)
    engine = _open_server(uri)
    try:
        writer = sa.create_engine(f"{_SQLITE}{aside}", poolclass=sa.NullPool)
        with read_at_one_moment(engine) as reading, writer.begin() as writing:
            tables = _list_tables(writing)
            _check_version(reading, writing, hide_password(uri))
            copy_rows(reading, writing, tables)
        # One file without a write-ahead log, whatever its connections left.
        copy_sqlite(aside, target)
    except sa.exc.DBAPIError as error:
        raise KerastudyError(_describe(uri, error)) from error
    finally:
        engine.dispose()
        for file in target.parent.glob(f"{aside.name}*"):
            file.unlink()


def check_mlflow_empty(uri: str) -> None:
    """Check that MLflow's database on a server has no runs and no registered models; changes nothing.

    Raises:
        ConflictError: if it has.
        KerastudyError: if it cannot be opened.
    """
    engine = _open_server(uri)
    try:
        with engine.connect() as connection:
            _check_no_runs(connection, hide_password(uri))
    except sa.exc.DBAPIError as error:
        raise KerastudyError(_describe(uri, error)) from error
    finally:
        engine.dispose()


def load_mlflow_snapshot(snapshot: Path, uri: str, *, replaces: bool = False) -> None:
    """Fill MLflow's database on a server with the rows of a copy, in one transaction; its tables are made if missing.

    Args:
        snapshot: the copy.
        uri: URI of the database.
        replaces: whether the runs that it has are replaced; otherwise it must have none.

    Raises:
        ConflictError: if it has runs or registered models.
        KerastudyError: if it cannot be written, or one of the two is of another version of MLflow.
    """
    engine, shown = _open_server(uri), hide_password(uri)
    try:
        with engine.connect() as connection:
            is_new = not sa.inspect(connection).has_table(_VERSION)
        if is_new:
            # Private, as in `database.py`: a store would keep connections. All of it is one transaction on PostgreSQL.
            _silence()
            from mlflow.store.db.utils import _initialize_tables

            _initialize_tables(engine)  # type: ignore[no-untyped-call]
        with open_read_only(snapshot).connect() as reading, engine.begin() as writing:
            if not replaces:
                _check_no_runs(writing, shown)
            _check_version(reading, writing, shown)
            copy_rows(reading, writing, _list_tables(reading))
    except sa.exc.DBAPIError as error:
        raise KerastudyError(_describe(uri, error)) from error
    finally:
        engine.dispose()


def _silence() -> None:
    """Let MLflow and Alembic print nothing of the tables that they make; see `client.connect`."""
    import mlflow  # noqa: F401  # its import sets the levels

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _open_server(uri: str) -> sa.Engine:
    # The waits and drivers of the store's address hold for any PostgreSQL.
    address = parse_address(uri)
    return sa.create_engine(address.url, **make_engine_options(address, begins_immediately=False))


def _list_tables(connection: sa.Connection) -> Sequence[sa.Table]:
    """Return the tables of an MLflow in an SQLite file, each after those that it refers to."""
    found = sa.MetaData()
    found.reflect(connection, only=lambda name, _: name != "sqlite_stat1")
    return found.sorted_tables


def _check_version(one: sa.Connection, other: sa.Connection, shown: str) -> None:
    """Check that two databases have one schema of MLflow's."""
    versions = [_read_version(one), _read_version(other)]
    if "" in versions:
        raise KerastudyError(f"{shown} has no tables of MLflow: expected the database of an MLflow server")
    if versions[0] != versions[1]:
        raise KerastudyError(
            f"{shown} and the copy have different schemas of MLflow ({versions[0]} and {versions[1]}): run `mlflow db "
            "upgrade` on the older one with the MLflow of the newer"
        )


def _read_version(connection: sa.Connection) -> str:
    if not sa.inspect(connection).has_table(_VERSION):
        return ""
    return str(connection.scalar(sa.text(f"SELECT version_num FROM {_VERSION}")))


def _check_no_runs(connection: sa.Connection, shown: str) -> None:
    tables = sa.inspect(connection)
    for table in ("runs", "registered_models"):
        if tables.has_table(table) and connection.scalar(sa.text(f"SELECT count(*) FROM {table}")):
            what = table.replace("_", " ")
            raise ConflictError(f"MLflow's database {shown} has {what}: expected an empty one to restore into")


def _describe(uri: str, error: sa.exc.DBAPIError) -> str:
    cause = str(error.orig).strip().splitlines()[0]
    return f"cannot use MLflow's database {hide_password(uri)}: {cause}; check its address and rights"
