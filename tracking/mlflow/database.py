"""Creation of MLflow's database file, such that a kill leaves a complete file or none.

MLflow creates its tables in some forty separate steps. If it is interrupted, it never completes them: every later start
fails at the half-done step. So the tables are created in memory, written to a temporary file, and linked into place.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import sqlalchemy as sa

_ASIDE = "making-"
_lock = threading.Lock()  # alembic, which creates MLflow's tables, keeps its state in a module


def create_database(file: Path) -> None:
    """Create MLflow's database if it is missing; of several processes at once the first one wins."""
    with _lock:
        if not file.exists():
            _create(file)


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


def _write_tables(file: Path) -> None:
    # A private function, but the only one that opens no store: a store would keep the temporary file open.
    from mlflow.store.db.utils import _initialize_tables

    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)  # one connection is one database
    _initialize_tables(engine)  # type: ignore[no-untyped-call]
    # VACUUM is refused inside a transaction.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM INTO :file"), {"file": str(file)})
    engine.dispose()
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _remove_left_over(file: Path) -> None:
    """Remove temporary files of processes that were killed during the creation."""
    for aside in file.parent.glob(f"{_ASIDE}*-{file.name}"):
        owner = aside.name.removeprefix(_ASIDE).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            _remove(aside)


def _remove(aside: Path) -> None:
    for each in (aside, aside.with_name(f"{aside.name}-journal")):
        each.unlink(missing_ok=True)
