"""Sessions of people who signed in with a browser: a random id in a cookie, stored as its SHA-256.

A session ends by log-out, after a time without use, after its longest time, and with its account. One that was begun
with a token ends with that token too, and may do no more than it.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress

import sqlalchemy as sa

from tracking.store.accounts import Account, Identity, narrow_scope
from tracking.store.database import Store
from tracking.store.tables import access_tokens, accounts, now_ms, sessions

_PREFIX = "session:"
_USED_AGE_MS = 60_000  # the last use is written once a minute at most


class Sessions:
    """Table of sessions.

    Args:
        idle_s: seconds without a request after which a session ends.
        longest_s: seconds after which a session ends in any case.
    """

    def __init__(self, store: Store, idle_s: float, longest_s: float) -> None:
        self._store = store
        self._idle_ms = int(idle_s * 1000)
        self._longest_ms = int(longest_s * 1000)

    def begin(self, account: Account, token: str | None = None) -> str:
        """Begin a session and return the text of its cookie, which is not stored.

        Args:
            account: the account that signed in.
            token: handle of the token that it signed in with, if it did.
        """
        text, now = secrets.token_urlsafe(32), now_ms()
        row = {"digest": _hash(text), "account": account.id, "token": token, "created_ms": now, "used_ms": now}
        with self._store.write() as connection:
            # Here, because nothing else runs regularly.
            connection.execute(sa.delete(sessions).where(self._find_old(now)))
            connection.execute(sa.insert(sessions).values(**row))
        return text

    def check(self, text: str) -> Identity | None:
        """Return who has the session with this text; None if there is none."""
        return self._find(_hash(text))

    def recheck(self, credential: str) -> Identity | None:
        """Return who has the session of an identity's credential; None once it has ended. This is no use of it."""
        return self._find(credential.removeprefix(_PREFIX), is_use=False)

    def end(self, text: str) -> None:
        """End a session."""
        with self._store.write() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.digest == _hash(text)))

    def end_all(self, account: Account) -> None:
        """End all sessions of an account."""
        with self._store.write() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.account == account.id))

    def _find(self, digest: str, *, is_use: bool = True) -> Identity | None:
        now = now_ms()
        with self._store.read() as connection:
            row = connection.execute(_SELECTED.where(sessions.c.digest == digest, ~self._find_old(now))).one_or_none()
        if row is None or (row.token is not None and not _has_token(row.token_scope, row.expires_ms, now)):
            return None
        if is_use and now - row.used_ms > _USED_AGE_MS:
            # A full disk must sign nobody out.
            with suppress(sa.exc.OperationalError), self._store.write() as connection:
                connection.execute(sa.update(sessions).where(sessions.c.digest == digest).values(used_ms=now))
        scope = narrow_scope(row.scope, row.token_scope)
        return Identity(row.account, row.name, scope, row.running_trials, f"{_PREFIX}{digest}")

    def _find_old(self, now: int) -> sa.ColumnElement[bool]:
        table = sessions.c
        return sa.or_(table.used_ms < now - self._idle_ms, table.created_ms < now - self._longest_ms)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _has_token(scope: str | None, expires_ms: int | None, now: int) -> bool:
    """Return whether the token of a session is there still; without one, a join has no scope."""
    return scope is not None and (expires_ms is None or expires_ms > now)


_SELECTED = (
    sa.select(
        sessions.c.account,
        sessions.c.token,
        sessions.c.used_ms,
        accounts.c.name,
        accounts.c.scope,
        accounts.c.running_trials,
        access_tokens.c.scope.label("token_scope"),
        access_tokens.c.expires_ms,
    )
    .join_from(sessions, accounts, sessions.c.account == accounts.c.id)
    .join(access_tokens, sessions.c.token == access_tokens.c.handle, isouter=True)
)
