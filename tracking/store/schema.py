"""Schema of the store's database: created, upgraded in place by Alembic's migrations, or refused.

A store that has this version's schema costs one query. Everything else happens in one transaction under the store's
lock (`BEGIN IMMEDIATE`, on PostgreSQL an advisory lock): of several processes that start at once, one creates or
upgrades, and the others find it done. A kill leaves the old schema or the new one. An SQLite file is copied beside
itself first, since an older kerastudy cannot read the new schema.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from search_spaces.errors import KerastudyError
from tracking.store.tables import SCHEMA_VERSION, about, metadata
from tracking.store.upgrade_guard import check_unused

if TYPE_CHECKING:
    from alembic.config import Config

OLDEST_VERSION: Final = 6
"""First version that is upgraded; what was written before is from before the first release."""
# Not Alembic's own name for it: that table is Optuna's.
VERSION_TABLE: Final = "kerastudy_schema"
MIGRATIONS: Final = Path(__file__).parent / "migrations"

# An arbitrary number, which only has to be the same in every process.
_ADVISORY_LOCK: Final = 7259306
_version_table = sa.Table(
    VERSION_TABLE, sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True, nullable=False)
)
_alembic_lock = threading.Lock()  # Alembic keeps the migration that runs in module variables


def ensure_schema(engine: sa.Engine, shown: str) -> str:
    """Create the tables, or upgrade them, where that is due; return the store's identity.

    Args:
        engine: the database; its transactions with the option `kerastudy_writes` lock an SQLite file at once.
        shown: its address, for errors.

    Raises:
        KerastudyError: if it was written by a newer kerastudy, or before the first release, or an older one works on
            it now.
    """
    with engine.connect() as connection:
        if (found := read_version(connection)) == SCHEMA_VERSION:
            return _read_identity(connection)
    if found is not None:
        check_version(found, shown)
        check_unused(engine, shown)
        if engine.dialect.name == "sqlite":
            keep_copy(Path(str(engine.url.database)))
    with engine.connect().execution_options(kerastudy_writes=True) as connection, connection.begin():
        lock_schema(connection)
        # Again, under the lock: another process may have been faster.
        found = read_version(connection)
        if found is None:
            _create(connection)
        elif found != SCHEMA_VERSION:
            check_version(found, shown)
            upgrade(connection, found)
        return _read_identity(connection)


def lock_schema(connection: sa.Connection) -> None:
    """Wait until no other process changes tables, to the end of the transaction; SQLite's begins with that."""
    if connection.dialect.name == "postgresql":
        # A migration may take longer than any other lock is waited for.
        connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def read_version(connection: sa.Connection) -> int | None:
    """Return the version of a database's schema; None where there is no store yet."""
    tables = sa.inspect(connection)
    if tables.has_table(VERSION_TABLE):
        stored = connection.scalar(sa.select(_version_table.c.version_num))
        return None if stored is None else int(stored)
    # Before Alembic, the version was this row alone.
    if not tables.has_table(about.name):
        return None
    row = connection.scalar(sa.select(about.c.value).where(about.c.key == "schema_version"))
    return None if row is None else int(row)


def check_version(found: int, shown: str) -> None:
    """Check that a store of a version can be opened.

    Raises:
        KerastudyError: if it is newer, or older than any migration.
    """
    if found > SCHEMA_VERSION:
        raise KerastudyError(
            f"{shown} was written by a newer kerastudy (schema {found}; this one reads {SCHEMA_VERSION}): "
            "upgrade kerastudy, or choose another home"
        )
    if found < OLDEST_VERSION:
        raise KerastudyError(
            f"{shown} was written before the first release of kerastudy (schema {found}; this one reads "
            f"{SCHEMA_VERSION}): choose another home"
        )


def upgrade(connection: sa.Connection, found: int, target: int = SCHEMA_VERSION) -> None:
    """Bring a database from a version to another one, as part of a transaction; from 0, an empty one."""
    from alembic import command

    config = make_config(connection)
    with _alembic_lock:
        if found and not sa.inspect(connection).has_table(VERSION_TABLE):
            command.stamp(config, format_revision(found))
        command.upgrade(config, format_revision(target))
    # For a kerastudy from before Alembic, which reads this row and refuses a store that is newer than itself.
    stored = sa.update(about).where(about.c.key == "schema_version").values(value=str(target))
    connection.execute(stored)


def make_config(connection: sa.Connection) -> Config:
    """Return the settings with which Alembic's commands work on a connection."""
    from alembic.config import Config

    config = Config()
    # A percent sign begins an interpolation there.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def format_revision(version: int) -> str:
    """Return the name that a version of the schema has in Alembic."""
    return f"{version:04d}"


def is_ours(table: object, name: str | None, kind: str, *_: object) -> bool:
    """Return whether a table is one of kerastudy's, and no table of Optuna's or Alembic's."""
    return kind != "table" or (str(name).startswith("kerastudy_") and name != VERSION_TABLE)


def _create(connection: sa.Connection) -> None:
    metadata.create_all(connection)
    _version_table.create(connection, checkfirst=True)
    connection.execute(sa.insert(_version_table).values(version_num=format_revision(SCHEMA_VERSION)))
    rows = {"schema_version": str(SCHEMA_VERSION), "identity": uuid.uuid4().hex[:12]}
    connection.execute(sa.insert(about), [{"key": key, "value": value} for key, value in rows.items()])


def _read_identity(connection: sa.Connection) -> str:
    return str(connection.scalar(sa.select(about.c.value).where(about.c.key == "identity")))


def keep_copy(file: Path) -> Path | None:
    """Copy an SQLite store of an older schema to `kerastudy.db.schema-N` beside it, once.

    Returns:
        The copy; None where the store has this schema, a newer one, or none.
    """
    if not file.exists() or (found := _read_file_version(file)) is None:
        return None
    if not OLDEST_VERSION <= found < SCHEMA_VERSION:
        return None
    # Another process may have upgraded the store meanwhile.
    return copy_file(file, f"schema-{found}", lambda copied: _read_file_version(copied) == found)


def copy_file(file: Path, suffix: str, check: Callable[[Path], bool] = lambda copied: True) -> Path:
    """Copy an SQLite database beside itself unless there is that copy; return the copy.

    Args:
        file: the database, which may be in use.
        suffix: end of the copy's name.
        check: returns whether the copy is what it should be; else there is none.
    """
    copy = file.with_name(f"{file.name}.{suffix}")
    aside = copy.with_name(f"{copy.name}-{uuid.uuid4().hex[:8]}")
    if not copy.exists():
        try:
            with closing(sqlite3.connect(file, timeout=30)) as opened, closing(sqlite3.connect(aside)) as target:
                opened.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")
            # A link does not replace the copy of another process.
            if check(aside):
                with suppress(FileExistsError):
                    os.link(aside, copy)
        finally:
            aside.unlink(missing_ok=True)
    return copy


def _read_file_version(file: Path) -> int | None:
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(file, timeout=30), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return read_version(connection)
