"""MLflow's own database file, made so that a kill leaves a whole one or none.

MLflow makes its tables in some forty steps, each for itself. One that was cut off in between is never completed: every
later start fails at the step that was half done. So the tables are made in memory, written beside the file's place, and
linked there.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import sqlalchemy as sa

_ASIDE = "making-"
_one_at_a_time = threading.Lock()  # what MLflow makes its tables with keeps its state in a module


def make_database(file: Path) -> None:
    """Make MLflow's database if it is missing; where several processes do at once, the first one's counts."""
    with _one_at_a_time:
        if not file.exists():
            _make(file)


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(file)
    aside = file.with_name(f"{_ASIDE}{os.getpid()}-{file.name}")
    try:
        _write_tables(aside)
        with suppress(FileExistsError):
            os.link(aside, file)
    finally:
        _remove(aside)


def _write_tables(file: Path) -> None:
    # Private, and the only way to MLflow's tables that opens no store: the store would keep the file open by this name.
    from mlflow.store.db.utils import _initialize_tables

    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)  # one connection is one database
    _initialize_tables(engine)  # type: ignore[no-untyped-call]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM INTO :file"), {"file": str(file)})
    engine.dispose()
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _remove_left_over(file: Path) -> None:
    """Remove what processes left that were killed while they made the file."""
    for aside in file.parent.glob(f"{_ASIDE}*-{file.name}"):
        owner = aside.name.removeprefix(_ASIDE).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            _remove(aside)


def _remove(aside: Path) -> None:
    for each in (aside, aside.with_name(f"{aside.name}-journal")):
        each.unlink(missing_ok=True)
