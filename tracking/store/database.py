"""The store's database: address, connections, kerastudy's tables and Optuna's.

SQLite under the home by default, PostgreSQL by URL. On SQLite every connection, Optuna's included, waits 30 s for a
lock and syncs each commit to disk (WAL with synchronous=FULL), so acknowledged data survives a power cut.
Transactions that write begin with BEGIN IMMEDIATE: in WAL mode a transaction that reads first and writes later could
otherwise fail, however long it waits.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)

from search_spaces.errors import KerastudyError
from tracking.store.schema import ensure_schema

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

BUSY_TIMEOUT_MS: Final = 30_000
FILE_NAME: Final = "kerastudy.db"

# Chosen: with less, any error of a write counts as a full disk.
_LEAST_ROOM_BYTES: Final = 256 * 1024


class Store:
    """Open database. Use `Store.open`; close it, or use it as a context manager.

    Attributes:
        identity: random id, created with the database; part of every key in MLflow, so that two homes that record to
            one MLflow server never confuse their runs.
    """

    def __init__(self, url: sa.URL, engine: sa.Engine, identity: str) -> None:
        self._url = url
        self.engine = engine
        self.identity = identity

    @classmethod
    def open(cls, url_or_home: str | Path) -> Store:
        """Open the database; create it and kerastudy's tables where they are missing.

        Args:
            url_or_home: a folder (the database is `kerastudy.db` in it) or a database URL such as
                `postgresql://user@host/name`.

        Raises:
            KerastudyError: if it cannot be opened, or its schema is newer, or older than any migration.
        """
        url = _resolve_url(url_or_home)
        shown = url.render_as_string(hide_password=True)
        engine = None
        try:
            engine = sa.create_engine(url, **_make_engine_options(url, begins_immediately=True))
            _emit_begin(engine)
            identity = ensure_schema(engine, shown)
        except (DBAPIError, ArgumentError, NoSuchModuleError, ImportError, OSError, sqlite3.Error) as error:
            if engine is not None:
                engine.dispose()
            raise KerastudyError(_describe_open_error(shown, error)) from error
        except KerastudyError:
            if engine is not None:
                engine.dispose()
            raise
        return cls(url, engine, identity)

    def open_optuna_storage(self) -> RDBStorage:
        """Return Optuna's storage in the same database, with the same durability.

        Raises:
            KerastudyError: if the tables were created by an Optuna that this one cannot read.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        options = _make_engine_options(self._url, begins_immediately=False)
        # Optuna would read braces in a path as a template, so the path of an SQLite file is in `creator` alone.
        sqlite = self._url.get_backend_name() == "sqlite"
        url = "sqlite:///store.db" if sqlite else self._url.render_as_string(hide_password=False)
        for attempt in range(5):
            try:
                return optuna.storages.RDBStorage(url, engine_kwargs=options)
            except (OperationalError, IntegrityError, sa.exc.ProgrammingError):
                # Another process creates the same tables at this moment; the next attempt finds them.
                if attempt == 4:
                    raise
                time.sleep(0.2 * (attempt + 1))
            except RuntimeError as error:
                raise KerastudyError(f"{self}: {error}") from error
        raise AssertionError("unreachable")

    def read(self) -> AbstractContextManager[sa.Connection]:
        """Return a connection for reading."""
        return self.engine.connect()

    def write(self, connection: sa.Connection | None = None) -> AbstractContextManager[sa.Connection]:
        """Return a transaction for writing: all of it is stored, or nothing.

        Args:
            connection: join this transaction instead of beginning one.
        """
        return nullcontext(connection) if connection is not None else self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self.engine.connect().execution_options(kerastudy_writes=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __str__(self) -> str:
        return self._url.render_as_string(hide_password=True)


def classify_store_error(error: BaseException, folder: Path) -> Literal["full", "unreachable"] | None:
    """Return whether an error means a full disk or an unreachable database; None for any other error.

    Args:
        error: error raised by a write.
        folder: a folder on the same disk. Its free space counts, because SQLite reports a full disk in several ways.
    """
    causes: list[BaseException] = []
    cause: BaseException | None = error
    # A chain of causes may be a circle.
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    ours = [each for each in causes if isinstance(each, OSError | DBAPIError | sqlite3.Error)]
    if any(getattr(each, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or _is_disk_full(str(each)) for each in ours):
        return "full"
    if ours and shutil.disk_usage(folder).free < _LEAST_ROOM_BYTES:
        return "full"
    broken = (OperationalError, InterfaceError, sqlite3.OperationalError)
    return "unreachable" if any(isinstance(each, broken) for each in ours) else None


def _is_disk_full(text: str) -> bool:
    return "disk is full" in text or "No space left on device" in text


def _resolve_url(url_or_home: str | Path) -> sa.URL:
    if isinstance(url_or_home, str) and "://" in url_or_home:
        try:
            url = sa.make_url(url_or_home)
        except ArgumentError as error:
            raise KerastudyError(f"the store's address is not a database URL: {url_or_home}") from error
        # SQLAlchemy 2.1 changed the driver that plain `postgresql` means; the extra installs psycopg2.
        if url.drivername in {"postgresql", "postgres"}:
            return url.set(drivername="postgresql+psycopg2")
        return url
    home = Path(url_or_home)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KerastudyError(f"cannot create the home {home}: {error.strerror or error}") from error
    return sa.URL.create("sqlite", database=str(home.resolve() / FILE_NAME))


def _make_engine_options(url: sa.URL, *, begins_immediately: bool) -> dict[str, Any]:
    if url.get_backend_name() != "sqlite":
        # A server or a proxy closes idle connections; a dead one is replaced before it is used.
        return {"pool_pre_ping": True}
    path = url.database or ""

    def connect() -> sqlite3.Connection:
        # None leaves BEGIN to `_emit_begin`. Optuna's engine has no such listener, and Python's driver begins for it.
        level: Any = None if begins_immediately else "DEFERRED"
        # `check_same_thread=False`: the pool moves connections between threads.
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=level, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    return {"creator": connect}


def _emit_begin(engine: sa.Engine) -> None:
    if engine.dialect.name != "sqlite":
        return

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("kerastudy_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _describe_open_error(shown: str, error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"cannot open the store {shown}: {error}; install the extra: pip install 'kerastudy[postgresql]'"
    cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0]
    return f"cannot open the store {shown}: {cause}; check that it is reachable, writable and a kerastudy store"
