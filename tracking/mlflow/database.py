"""Creation of MLflow's database file, such that a kill leaves a complete file or none, and its statistics.

MLflow creates its tables in some forty separate steps. If it is interrupted, it never completes them: every later start
fails at the half-done step. So the tables are created in memory, written to a temporary file, and linked into place.

These steps take a second of a core. For versions of MLflow whose tables are known, what the steps come to is done at
once, from a file in `schemas/`, which `scripts/write_mlflow_schema.py` writes and a test compares with MLflow's steps.

Without statistics SQLite takes every table for small, and compares each run with each metric to order runs: with 10,000
runs a page of the leaderboard takes 6 seconds of CPU, and 0.15 with statistics. Real ones would have to be renewed as
a study grows, and connections that are open would not see them. So those of a large study are there from the start.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import psutil
import sqlalchemy as sa

_ASIDE = "making-"
# Rows in all, and rows with equal values in the first columns of the index: of a study of 10,000 trials.
_STATISTICS: Final = {
    "sqlite_autoindex_runs_1": ("runs", "10000 1"),
    "sqlite_autoindex_tags_1": ("tags", "150000 7000 1"),
    "index_tags_run_uuid": ("tags", "150000 15"),
    "sqlite_autoindex_params_1": ("params", "100000 9000 1"),
    "index_params_run_uuid": ("params", "100000 10"),
    "sqlite_autoindex_latest_metrics_1": ("latest_metrics", "100000 9000 1"),
    "index_latest_metrics_run_uuid": ("latest_metrics", "100000 10"),
}
_lock = threading.Lock()  # alembic, which creates MLflow's tables, keeps its state in a module


def create_database(file: Path) -> None:
    """Create MLflow's database if it is missing; of several processes at once the first one wins."""
    with _lock:
        if not file.exists():
            _create(file)


def write_statistics(connection: sqlite3.Connection) -> None:
    """Write statistics for SQLite's planner into MLflow's database, unless it has some."""
    if _has_statistics(connection):
        return
    with connection:
        # All of it or nothing: a kill in between must not leave statistics of a small study.
        connection.execute("BEGIN IMMEDIATE")
        if _has_statistics(connection):  # another process was faster
            return
        indexes = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
        connection.execute("ANALYZE experiments")  # makes the table, and lets open connections read it
        connection.executemany(
            "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)",
            [(table, index, stat) for index, (table, stat) in _STATISTICS.items() if index in indexes],
        )


def _has_statistics(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone() is not None


def _create(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(file)
    aside = file.with_name(f"{_ASIDE}{os.getpid()}-{file.name}")
    try:
        _write_tables(aside)
        # A hard link fails where the file exists; a rename would replace another process's database.
        with suppress(FileExistsError):
            os.link(aside, file)
    finally:
        _remove(aside)


def locate_schema(version: str) -> Path:
    """Return the file with the tables of a version of MLflow, whether it exists or not."""
    return Path(__file__).parent / "schemas" / f"{version}.sql"


def _write_tables(file: Path) -> None:
    from mlflow.version import VERSION

    if (schema := locate_schema(VERSION)).exists():
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(schema.read_text(encoding="utf-8"))
            connection.execute("VACUUM INTO ?", (str(file),))
    else:
        write_tables_by_steps(file)
    with file.open("rb") as written:
        os.fsync(written.fileno())


def write_tables_by_steps(file: Path) -> None:
    """Write MLflow's tables into a new file as MLflow makes them: those of its first version, then every change."""
    # A private function, but the only one that opens no store: a store would keep the temporary file open.
    from mlflow.store.db.utils import _initialize_tables

    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)  # one connection is one database
    _initialize_tables(engine)  # type: ignore[no-untyped-call]
    # VACUUM is refused inside a transaction.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM INTO :file"), {"file": str(file)})
    engine.dispose()


def _remove_left_over(file: Path) -> None:
    """Remove temporary files of processes that were killed during the creation."""
    for aside in file.parent.glob(f"{_ASIDE}*-{file.name}"):
        owner = aside.name.removeprefix(_ASIDE).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            _remove(aside)


def _remove(aside: Path) -> None:
    for each in (aside, aside.with_name(f"{aside.name}-journal")):
        each.unlink(missing_ok=True)
