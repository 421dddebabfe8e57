"""Optuna's own tables in the store: created by Optuna, and upgraded in place by Optuna's migrations."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from search_spaces.errors import KerastudyError
from tracking.store.connections import Address, make_engine_options, wait_for_server
from tracking.store.optuna_versions import find_newest_version, read_version
from tracking.store.schema import copy_file, lock_schema

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_ATTEMPTS = 5


def open_storage(address: Address, engine: sa.Engine) -> RDBStorage:
    """Return Optuna's storage in a store, with the tables of the Optuna that is installed.

    Args:
        address: the store.
        engine: connections to it, for the lock that upgrades hold.

    Raises:
        KerastudyError: if the tables were made by a newer Optuna, or their upgrade fails.
    """
    import optuna

    from tracking.store.optuna_storage import TrialStorage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    options = make_engine_options(address, begins_immediately=False)
    # Optuna would read braces in a path as a template, so the path of an SQLite file is in `creator` alone.
    url = "sqlite:///store.db" if address.is_file else address.url.render_as_string(hide_password=False)
    for attempt in range(_ATTEMPTS):
        try:
            storage = TrialStorage(url, options)
            break
        except (OperationalError, IntegrityError, ProgrammingError):
            # Another process creates the same tables at this moment; the next attempt finds them.
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.2 * (attempt + 1))
    wait_for_server(storage.engine, address.patience_s)
    _ensure_version(storage, address, engine)
    return storage


def _ensure_version(storage: RDBStorage, address: Address, engine: sa.Engine) -> None:
    found, newest = read_version(storage.engine), find_newest_version()
    if found == newest:
        return
    if found not in storage.get_all_versions():
        raise KerastudyError(
            f"{address.shown}: Optuna's tables were made by a newer Optuna (version {found}; the one that is installed "
            f"reads {newest}): pip install --upgrade optuna"
        )
    if address.is_file:
        copy_file(Path(str(address.url.database)), f"optuna-{found}")
        _migrate(storage)
        return
    with engine.begin() as connection:
        lock_schema(connection)
        # Again, under the lock: another process may have been faster.
        if read_version(storage.engine) != newest:
            _migrate(storage)


def _migrate(storage: RDBStorage) -> None:
    """Run Optuna's migrations on its own engine; `RDBStorage.upgrade` would connect by the URL alone."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from optuna.storages import _rdb
    from optuna.storages._rdb import models

    script = ScriptDirectory(str(Path(_rdb.__file__).parent / "alembic"))

    def find_steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs("head", revision)  # as Alembic's cookbook does for a given connection

    with EnvironmentContext(Config(), script, fn=find_steps) as environment, storage.engine.connect() as connection:
        environment.configure(connection=connection, target_metadata=models.BaseModel.metadata, render_as_batch=True)
        with environment.begin_transaction():
            environment.run_migrations()
        connection.commit()
