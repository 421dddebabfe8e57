"""Connections to the store's database: its address, SQLite's settings, PostgreSQL's pool and what it waits for.

A process holds few connections to a server, and none while it waits for something else. An idle one that the server,
a proxy or a restart has closed is replaced before it is used; while the server is away, starts, or has no connection
left, connecting is tried again for `patience` seconds. What broke inside a transaction is not repeated here: whether
it was stored is unknown to all but the code that wrote it.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from search_spaces.errors import InputError, KerastudyError

BUSY_TIMEOUT_MS: Final = 30_000
FILE_NAME: Final = "kerastudy.db"

# A longest pause of two seconds: a lease is renewed soon after a restart of the server.
_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 2.0)
_PERMANENT: Final = ("authentication", "password", "does not exist", "no pg_hba.conf", "permission denied", "SSL")
"""Parts of errors of a server that answers, and will answer the same next time."""

# What libpq and the server know about a dead line, a dead client and a lock that is never released.
_LIBPQ: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "kerastudy",
    # A process that was suspended within a transaction must not lock a study for ever.
    "options": f"-c lock_timeout={BUSY_TIMEOUT_MS} -c idle_in_transaction_session_timeout=60000",
}


@dataclass(frozen=True)
class Address:
    """Address of a store: a folder or a database URL, taken apart.

    Attributes:
        url: URL of the database, without kerastudy's own keys.
        connections: most connections of one process for kerastudy's tables; Optuna's take up to two more.
        patience_s: seconds for which connecting is tried again while the server is away.
    """

    url: sa.URL
    connections: int = 5
    patience_s: float = 60.0

    @property
    def is_file(self) -> bool:
        """Whether the store is an SQLite file."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def shown(self) -> str:
        """The URL without a password."""
        return self.url.render_as_string(hide_password=True)


def parse_address(url_or_home: str | Path) -> Address:
    """Return the address of a store.

    Args:
        url_or_home: a folder, or a URL. The query of the URL of a server may hold `connections` and `patience`; all
            other keys are the driver's.

    Raises:
        InputError: if one of these keys has an impossible value.
        KerastudyError: if it is no URL, or the folder cannot be created.
    """
    if isinstance(url_or_home, str) and "://" in url_or_home:
        try:
            url = sa.make_url(url_or_home)
        except ArgumentError as error:
            raise KerastudyError(f"the store's address is not a database URL: {url_or_home}") from error
        # SQLAlchemy 2.1 changed the driver that plain `postgresql` means; the extra installs psycopg2.
        if url.drivername in {"postgresql", "postgres"}:
            url = url.set(drivername="postgresql+psycopg2")
        connections = _read_number(url, "connections", Address.connections, 1, 100)
        patience_s = _read_number(url, "patience", int(Address.patience_s), 0, 3600)
        return Address(url.difference_update_query(["connections", "patience"]), connections, patience_s)
    home = Path(url_or_home)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KerastudyError(f"cannot create the home {home}: {error.strerror or error}") from error
    return Address(sa.URL.create("sqlite", database=str(home.resolve() / FILE_NAME)))


def make_engine(address: Address, *, patience_s: float = 0.0) -> tuple[sa.Engine, Patience]:
    """Return an engine for kerastudy's tables, and for how long it waits for the server."""
    engine = sa.create_engine(address.url, **make_engine_options(address, begins_immediately=True))
    _emit_begin(engine)
    return engine, wait_for_server(engine, patience_s)


def make_engine_options(address: Address, *, begins_immediately: bool) -> dict[str, Any]:
    """Return the arguments of `sqlalchemy.create_engine` for a store.

    Args:
        address: the store.
        begins_immediately: whether kerastudy begins its transactions by itself (see `_emit_begin`); Optuna does not.
    """
    if not address.is_file:
        most = address.connections if begins_immediately else 2
        given = {key for key in _LIBPQ if key in address.url.query}
        return {
            # An idle connection that somebody closed is replaced before it is used.
            "pool_pre_ping": True,
            "pool_size": min(2, most),
            "max_overflow": most - min(2, most),
            "pool_timeout": BUSY_TIMEOUT_MS / 1000,
            # The most recently used one first, so that the others may be closed.
            "pool_use_lifo": True,
            "connect_args": {key: value for key, value in _LIBPQ.items() if key not in given}
            if address.url.get_driver_name() == "psycopg2"
            else {},
        }
    path = address.url.database or ""

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


@dataclass
class Patience:
    """How long an engine waits for a server that is away; may be changed while it is used."""

    seconds: float


def wait_for_server(engine: sa.Engine, seconds: float) -> Patience:
    """Let an engine try to connect again while its server is away, starts, or has no connection left."""
    patience = Patience(seconds)

    @sa.event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, record: object, arguments: Any, keywords: Any) -> Any:
        until = time.monotonic() + patience.seconds
        attempt = 0
        while True:
            try:
                return dialect.connect(*arguments, **keywords)
            except dialect.dbapi.OperationalError as error:
                pause = _PAUSES_S[min(attempt, len(_PAUSES_S) - 1)]
                if any(part in str(error) for part in _PERMANENT) or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
            attempt += 1

    return patience


def _emit_begin(engine: sa.Engine) -> None:
    if engine.dialect.name != "sqlite":
        return

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("kerastudy_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _read_number(url: sa.URL, key: str, default: int, least: int, most: int) -> int:
    written = url.query.get(key, str(default))
    if not isinstance(written, str) or not written.isdecimal() or not least <= int(written) <= most:
        raise InputError(
            f"the store's address: {key}: expected a whole number from {least} to {most}, got {written}; "
            f"write it as in postgresql://user@host/name?{key}={default}"
        )
    return int(written)
