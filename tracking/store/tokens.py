"""The tokens that let people and programs use the service.

A token is `ks_<handle>_<secret>`: the handle finds its row, and of the secret only a SHA-256 is kept. The secret has
256 random bits, so that a fast hash is as good as a slow one: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

import sqlalchemy as sa

from search_spaces.errors import ConflictError, InputError, UnknownError, nearest
from tracking.store.database import Store, now_ms, tokens

Scope = Literal["read", "submit", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
_WRITTEN = re.compile(r"ks_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NO_DIGEST = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Token:
    """Who may do what.

    Attributes:
        name: whose it is; studies submitted with it are this submitter's.
        scope: `read` may look and export, `submit` may also submit and control its own studies, `admin` may do all.
        running_trials: how many trials of the submitter's studies may train at once; None for any number.
    """

    name: str
    scope: Scope
    running_trials: int | None
    created_ms: int

    def may(self, scope: Scope) -> bool:
        """Say whether the token's scope takes in another."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


class Tokens:
    """The table of tokens."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, scope: Scope, running_trials: int | None = None) -> str:
        """Add a token and return it as it is written: this once, since it is not kept.

        Raises:
            ConflictError: if the name is taken.
            InputError: if it is no name, the scope is unknown, or nothing may run.
        """
        if not _NAME.fullmatch(name):
            raise InputError(f'a token needs a name of up to 100 letters, digits, dots, dashes and @, got "{name}"')
        if scope not in SCOPES:
            raise InputError(f'unknown scope "{scope}"; {nearest(scope, SCOPES)}')
        if running_trials is not None and not 1 <= running_trials <= 1_000_000:
            raise InputError(f"running trials: expected a whole number of at least 1, got {running_trials}")
        handle, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = {
            "name": name,
            "handle": handle,
            "digest": _digest(secret),
            "scope": scope,
            "running_trials": running_trials,
            "created_ms": now_ms(),
        }
        try:
            with self._store.write() as connection:
                connection.execute(sa.insert(tokens).values(**row))
        except sa.exc.IntegrityError:
            message = f'there is a token called "{name}" already: remove it first, or choose another name'
            raise ConflictError(message) from None
        return f"ks_{handle}_{secret}"

    def remove(self, name: str) -> None:
        """Remove a token; it is refused from now on.

        Raises:
            UnknownError: if there is none of that name.
        """
        with self._store.write() as connection:
            removed = connection.execute(sa.delete(tokens).where(tokens.c.name == name)).rowcount
        if not removed:
            known = [token.name for token in self.list()]
            raise UnknownError(f'there is no token "{name}"; {nearest(name, known)}')

    def list(self) -> tuple[Token, ...]:
        """Return all tokens, oldest first."""
        with self._store.read() as connection:
            rows = connection.execute(sa.select(tokens).order_by(tokens.c.created_ms, tokens.c.name))
            return tuple(_token(row) for row in rows)

    def check(self, written: str) -> Token | None:
        """Return the token that was written so; None if there is none, in the same time wherever it differs."""
        parts = _WRITTEN.fullmatch(written)
        handle, secret = parts.groups() if parts else ("", "")
        with self._store.read() as connection:
            row = connection.execute(sa.select(tokens).where(tokens.c.handle == handle)).one_or_none()
        right = hmac.compare_digest(_digest(secret), row.digest if row is not None else _NO_DIGEST)
        return _token(row) if row is not None and right else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: sa.Row[tuple[object, ...]]) -> Token:
    values = row._mapping
    return Token(values["name"], values["scope"], values["running_trials"], values["created_ms"])
