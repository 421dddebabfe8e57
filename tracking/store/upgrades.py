"""Upgrades of the store's schema, in place: every version from the first released one, 6, can be opened.

Each version has a few statements that SQLite and PostgreSQL both take. They run in the one transaction that opens the
store, under its lock, with the number of the version: a kill leaves the old schema or the new one. Alembic would bring
a second table of versions, a folder of scripts, and a way around SQLite's lock, for what is a list of statements here.
An SQLite file is copied beside itself first, since an older kerastudy cannot read the new schema.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from search_spaces.errors import KerastudyError

# Statements that bring a database to a version from the one before, by version. New tables need none. A database of
# a version before the first one here is refused: it was written before the first release.
UPGRADES: Final[dict[int, tuple[str, ...]]] = {
    7: (
        # Each token becomes an account with one token. A handle is random and no secret, so it serves as the id.
        "INSERT INTO kerastudy_accounts (id, name, scope, running_trials, created_ms) "
        "SELECT handle, name, scope, running_trials, created_ms FROM kerastudy_tokens",
        "INSERT INTO kerastudy_access_tokens (handle, account, label, digest, scope, created_ms) "
        "SELECT handle, handle, 'default', digest, scope, created_ms FROM kerastudy_tokens",
        "DROP TABLE kerastudy_tokens",
        "ALTER TABLE kerastudy_submissions ADD COLUMN submitter_id VARCHAR(120) NOT NULL DEFAULT ''",
        # Submitters without a token get an id that no account can have.
        "UPDATE kerastudy_submissions SET submitter_id = COALESCE("
        "(SELECT id FROM kerastudy_accounts WHERE name = submitter), 'local:' || submitter)",
        "DELETE FROM kerastudy_requests WHERE submitter NOT IN (SELECT name FROM kerastudy_accounts)",
        "UPDATE kerastudy_requests SET submitter = (SELECT id FROM kerastudy_accounts WHERE name = submitter)",
        "ALTER TABLE kerastudy_registered_names ADD COLUMN owner VARCHAR(100) NOT NULL DEFAULT ''",
        "ALTER TABLE kerastudy_registered_names ADD COLUMN owner_id VARCHAR(120) NOT NULL DEFAULT ''",
        "UPDATE kerastudy_registered_names SET "
        "owner = COALESCE((SELECT submitter FROM kerastudy_submissions AS s "
        "WHERE s.study = kerastudy_registered_names.study), ''), "
        "owner_id = COALESCE((SELECT submitter_id FROM kerastudy_submissions AS s "
        "WHERE s.study = kerastudy_registered_names.study), '')",
        "ALTER TABLE kerastudy_studies ADD COLUMN changed_ms BIGINT",
        "ALTER TABLE kerastudy_studies ADD COLUMN archived_ms BIGINT",
    ),
}


def keep_copy(file: Path, version: int) -> Path | None:
    """Copy an SQLite store of an older schema to `kerastudy.db.schema-N` beside it, once.

    Args:
        file: the store.
        version: schema of this kerastudy.

    Returns:
        The copy; None where the store has this schema, a newer one, or none.
    """
    if not file.exists() or (found := _read_version(file)) is None or not min(UPGRADES) <= found + 1 <= version:
        return None
    copy = file.with_name(f"{file.name}.schema-{found}")
    aside = copy.with_name(f"{copy.name}-{os.getpid()}")
    if not copy.exists():
        try:
            with closing(sqlite3.connect(file, timeout=30)) as opened, closing(sqlite3.connect(aside)) as target:
                opened.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")
            # Another process may have upgraded the store meanwhile. A link does not replace its copy.
            if _read_version(aside) == found:
                with suppress(FileExistsError):
                    os.link(aside, copy)
        finally:
            aside.unlink(missing_ok=True)
    return copy


def _read_version(file: Path) -> int | None:
    query = "SELECT value FROM kerastudy_about WHERE key = 'schema_version'"
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        try:
            row = connection.execute(query).fetchone()
        except sqlite3.DatabaseError:  # no store yet, or no database: opening it states that
            return None
    return None if row is None else int(row[0])


def upgrade(connection: sa.Connection, found: int, version: int, shown: str) -> None:
    """Bring a database to a version, as part of a transaction.

    Args:
        connection: the transaction.
        found: the version that it has.
        version: the version of this kerastudy.
        shown: its address, for errors.

    Raises:
        KerastudyError: if it is newer, or older than any upgrade.
    """
    if found > version:
        raise KerastudyError(
            f"{shown} was written by a newer kerastudy (schema {found}; this one reads {version}): "
            "upgrade kerastudy, or choose another home"
        )
    for each in range(found + 1, version + 1):
        if each not in UPGRADES:
            raise KerastudyError(
                f"{shown} was written before the first release of kerastudy (schema {found}; this one reads "
                f"{version}): choose another home"
            )
        for statement in UPGRADES[each]:
            connection.execute(sa.text(statement))
        stored = "UPDATE kerastudy_about SET value = :version WHERE key = 'schema_version'"
        connection.execute(sa.text(stored), {"version": str(each)})
