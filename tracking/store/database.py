"""The store's database: opened, read and written in transactions.

SQLite under the home by default, PostgreSQL by URL (`connections.py`). On SQLite every connection, Optuna's included,
waits 30 s for a lock and syncs each commit to disk (WAL with synchronous=FULL), so acknowledged data survives a power
cut. Transactions that write begin with BEGIN IMMEDIATE: in WAL mode a transaction that reads first and writes later
could otherwise fail, however long it waits.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)

from search_spaces.errors import KerastudyError
from tracking.store.connections import Address, make_engine, parse_address
from tracking.store.schema import ensure_schema, read_version

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_T = TypeVar("_T")
# Chosen: with less, any error of a write counts as a full disk.
_LEAST_ROOM_BYTES: Final = 256 * 1024


class Store:
    """Open database. Use `Store.open`; close it, or use it as a context manager.

    Attributes:
        identity: random id, created with the database; part of every key in MLflow, so that two homes that record to
            one MLflow server never confuse their runs.
    """

    def __init__(self, address: Address, engine: sa.Engine, identity: str) -> None:
        self._address = address
        self.engine = engine
        self.identity = identity

    @classmethod
    def open(cls, url_or_home: str | Path, *, patience_s: float = 0.0) -> Store:
        """Open the database; create kerastudy's tables where they are missing, and upgrade older ones.

        Args:
            url_or_home: a folder (the database is `kerastudy.db` in it) or a database URL such as
                `postgresql://user@host/name`; see `parse_address`.
            patience_s: seconds to wait for a server that is away now. Once the store is open, it is that of the
                address.

        Raises:
            KerastudyError: if it cannot be opened, or its schema is newer, or older than any migration.
        """
        address = parse_address(url_or_home)
        engine = None
        try:
            engine, patience = make_engine(address, patience_s=patience_s)
            identity = ensure_schema(engine, address.shown)
        except (DBAPIError, ArgumentError, NoSuchModuleError, ImportError, OSError, sqlite3.Error) as error:
            if engine is not None:
                engine.dispose()
            raise KerastudyError(_describe_open_error(address, error)) from error
        except KerastudyError:
            if engine is not None:
                engine.dispose()
            raise
        patience.seconds = address.patience_s
        return cls(address, engine, identity)

    @staticmethod
    def find_version(url_or_home: str | Path, *, patience_s: float = 0.0) -> int | None:
        """Return the version of a store's schema, and change nothing; None where there is no store yet.

        Raises:
            KerastudyError: if the database cannot be opened.
        """
        address = parse_address(url_or_home)
        if address.is_file and not Path(str(address.url.database)).exists():
            return None
        engine = None
        try:
            engine, _ = make_engine(address, patience_s=patience_s)
            with engine.connect() as connection:
                return read_version(connection)
        except (DBAPIError, NoSuchModuleError, ImportError, OSError, sqlite3.Error) as error:
            raise KerastudyError(_describe_open_error(address, error)) from error
        finally:
            if engine is not None:
                engine.dispose()

    def open_optuna_storage(self) -> RDBStorage:
        """Return Optuna's storage in the same database, with the same durability.

        Raises:
            KerastudyError: if the tables were created by an Optuna that this one cannot read.
        """
        from tracking.store.optuna_schema import open_storage  # loads Optuna

        return open_storage(self._address, self.engine)

    def read(self) -> AbstractContextManager[sa.Connection]:
        """Return a connection for reading."""
        return self.engine.connect()

    def query(self, run: Callable[[sa.Connection], _T]) -> _T:
        """Return the result of a function that only reads, on a connection; run it again where that one broke.

        For reads that happen all the time: some are under way whenever a server is restarted.
        """
        try:
            with self.read() as connection:
                return run(connection)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        with self.read() as connection:
            return run(connection)

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
        return self._address.shown


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


def _describe_open_error(address: Address, error: Exception) -> str:
    shown = address.shown
    folder = Path(str(address.url.database)).parent
    if address.is_file and folder.exists() and classify_store_error(error, folder) == "full":
        return f"cannot open the store {shown}: no room is left on its disk; free some and run the command again"
    if isinstance(error, ImportError):
        return f"cannot open the store {shown}: {error}; install the extra: pip install 'kerastudy[postgresql]'"
    cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0]
    if any(words in cause for words in ("too many clients", "too many connections", "remaining connection slots")):
        return (
            f"cannot open the store {shown}: {cause}; raise max_connections there, or set a smaller ?connections=N in "
            "the address"
        )
    return f"cannot open the store {shown}: {cause}; check that it is reachable, writable and a kerastudy store"
