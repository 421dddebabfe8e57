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
import uuid
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
from tracking.store.upgrades import keep_copy, upgrade

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

SCHEMA_VERSION: Final = 7
BUSY_TIMEOUT_MS: Final = 30_000
FILE_NAME: Final = "kerastudy.db"

metadata = sa.MetaData()

_about = sa.Table(
    "kerastudy_about",
    metadata,
    sa.Column("key", sa.String(40), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

studies = sa.Table(
    "kerastudy_studies",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("elapsed_s", sa.Float, nullable=False),
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_token", sa.String(40)),
    sa.Column("lease_renewals", sa.BigInteger, nullable=False),
    sa.Column("winner", sa.Integer),
    # 53 bits, so that every database returns the same number.
    sa.Column("best_value", sa.Float(53)),
    sa.Column("counts", sa.Text, nullable=False),
    sa.Column("control_request", sa.String(10)),
    # Since when the study has its state; null in rows of schema 6.
    sa.Column("changed_ms", sa.BigInteger),
    # When a person archived it; null while it is listed.
    sa.Column("archived_ms", sa.BigInteger),
)

submissions = sa.Table(
    "kerastudy_submissions",
    metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("submitter", sa.String(100), nullable=False, index=True),
    # Who owns the study; the name above is for display.
    sa.Column("submitter_id", sa.String(120), nullable=False, server_default=""),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("submitted_ms", sa.BigInteger, nullable=False),
    sa.Column("started_ms", sa.BigInteger),
    sa.Column("trials_at_once", sa.Integer),
    sa.Column("notified_bytes", sa.BigInteger, nullable=False),
)

requests = sa.Table(
    "kerastudy_requests",
    metadata,
    # The id of the submitter's account.
    sa.Column("submitter", sa.String(100), primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("study", sa.String(100), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)

accounts = sa.Table(
    "kerastudy_accounts",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False, unique=True),
    sa.Column("scope", sa.String(10), nullable=False),
    sa.Column("running_trials", sa.Integer),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)

access_tokens = sa.Table(
    "kerastudy_access_tokens",
    metadata,
    sa.Column("handle", sa.String(16), primary_key=True),
    sa.Column("account", sa.String(32), nullable=False),
    sa.Column("label", sa.String(100), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("scope", sa.String(10), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_ms", sa.BigInteger),
    sa.Column("used_ms", sa.BigInteger),
    sa.Index("ix_kerastudy_access_tokens_account", "account", "label"),
)

sign_ins = sa.Table(
    "kerastudy_sign_ins",
    metadata,
    sa.Column("account", sa.String(32), primary_key=True),
    # An Argon2 hash; null for an account of a provider.
    sa.Column("password", sa.Text),
    sa.Column("issuer", sa.String(500)),
    sa.Column("subject", sa.String(255)),
    sa.UniqueConstraint("issuer", "subject"),
)

sessions = sa.Table(
    "kerastudy_sessions",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(32), nullable=False, index=True),
    # The handle of the token that it was begun with.
    sa.Column("token", sa.String(16)),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("used_ms", sa.BigInteger, nullable=False),
)

audit_lines = sa.Table(
    "kerastudy_audit",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("time_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("identity", sa.String(120), nullable=False),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("request", sa.String(300), nullable=False),
    sa.Column("operation", sa.String(100), nullable=False),
    sa.Column("object", sa.String(300), nullable=False),
    sa.Column("outcome", sa.String(10), nullable=False),
    sa.Column("details", sa.String(300), nullable=False),
    # An id is never used again: a gap shows that lines were removed.
    sqlite_autoincrement=True,
)
sa.event.listen(
    audit_lines,
    "after_create",
    sa.DDL(  # type: ignore[no-untyped-call]
        "CREATE TRIGGER kerastudy_audit_is_final BEFORE UPDATE ON kerastudy_audit "
        "BEGIN SELECT RAISE(ABORT, 'lines of the audit log are final'); END"
    ).execute_if(dialect="sqlite"),
)

registered_names = sa.Table(
    "kerastudy_registered_names",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("study", sa.String(100), nullable=False),
    # Of its own, because the study may be deleted; the name is for display.
    sa.Column("owner", sa.String(100), nullable=False, server_default=""),
    sa.Column("owner_id", sa.String(120), nullable=False, server_default=""),
)

uploads = sa.Table(
    "kerastudy_uploads",
    metadata,
    sa.Column("file", sa.String(60), primary_key=True),
    sa.Column("owner_id", sa.String(120), primary_key=True),
    sa.Column("owner", sa.String(100), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)

model_grants = sa.Table(
    "kerastudy_model_grants",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("account", sa.String(120), primary_key=True),
    sa.Column("moves_protected", sa.Boolean, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)

model_digests = sa.Table(
    "kerastudy_model_digests",
    metadata,
    sa.Column("model", sa.String(300), primary_key=True),
    sa.Column("study", sa.String(100), nullable=False, index=True),
    sa.Column("files", sa.Text, nullable=False),
    sa.Column("recorded_ms", sa.BigInteger, nullable=False),
)

retrainings = sa.Table(
    "kerastudy_retrainings",
    metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20), primary_key=True),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("value", sa.Float(53)),
    sa.Column("details", sa.Text, nullable=False),
)

notifications = sa.Table(
    "kerastudy_notifications",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("study", sa.String(100), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    # Receivers remember ids, so those of deleted rows must not come again.
    sqlite_autoincrement=True,
)

notification_receivers = sa.Table(
    "kerastudy_notification_receivers",
    metadata,
    sa.Column("receiver", sa.String(80), primary_key=True),
    # Id of the last notification that it took.
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("since_ms", sa.BigInteger, nullable=False),
)

deletions = sa.Table(
    "kerastudy_deletions",
    metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    # Whether versions that have an alias go too, decided before the first thing is removed.
    sa.Column("with_promoted", sa.Boolean, nullable=False),
    sa.Column("requested_ms", sa.BigInteger, nullable=False),
)

# Chosen: with less, any error of a write counts as a full disk.
_LEAST_ROOM_BYTES: Final = 256 * 1024

outbox = sa.Table(
    "kerastudy_outbox",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("study", sa.String(100), nullable=False, index=True),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text, nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    # SQLite must not reuse the ids of deleted rows: `id` is the order of delivery.
    sqlite_autoincrement=True,
)


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
            if url.get_backend_name() == "sqlite":
                keep_copy(Path(str(url.database)), SCHEMA_VERSION)
            identity = _create_tables(engine, shown)
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


def now_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


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


def _create_tables(engine: sa.Engine, shown: str) -> str:
    """Create missing tables, migrate, and return the store's identity; concurrent processes take turns."""
    with engine.connect().execution_options(kerastudy_writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            # An arbitrary number, which only has to be the same in every process.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7259306)"))
        # Under the lock, because PostgreSQL's `CREATE TABLE` fails if two sessions create one table at once.
        metadata.create_all(connection)
        about = {row.key: row.value for row in connection.execute(sa.select(_about))}
        if not about:
            about = {"schema_version": str(SCHEMA_VERSION), "identity": uuid.uuid4().hex[:12]}
            rows = [{"key": key, "value": value} for key, value in about.items()]
            connection.execute(sa.insert(_about), rows)
        upgrade(connection, int(about["schema_version"]), SCHEMA_VERSION, shown)
    return str(about["identity"])


def _describe_open_error(shown: str, error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"cannot open the store {shown}: {error}; install the extra: pip install 'kerastudy[postgresql]'"
    cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0]
    return f"cannot open the store {shown}: {cause}; check that it is reachable, writable and a kerastudy store"
