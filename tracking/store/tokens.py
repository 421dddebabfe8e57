"""Tokens for people and programs that use the service.

A token is `ks_<handle>_<secret>`: the handle finds its row; the table holds only a SHA-256 of the secret. The secret
has 256 random bits and cannot be guessed, so a fast hash is as good as a slow one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Literal, get_args

import sqlalchemy as sa

from search_spaces.errors import ConflictError, InputError, UnknownError, suggest_choice
from tracking.store.database import Store, now_ms, tokens

Scope = Literal["read", "submit", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
# The lengths of `token_hex(6)` and `token_urlsafe(32)`.
_TOKEN = re.compile(r"ks_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NO_DIGEST = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Token:
    """One token: its holder and what the holder may do.

    Attributes:
        name: name of the holder, and the submitter of studies that are submitted with it.
        scope: `read` may look and export, `submit` may also submit studies and control those, `admin` may do all.
        running_trials: how many trials of the submitter's studies may train at once; None for any number.
    """

    name: str
    scope: Scope
    running_trials: int | None
    created_ms: int

    def has_scope(self, scope: Scope) -> bool:
        """Return whether the token's scope includes another."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


class Tokens:
    """Table of tokens."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, scope: Scope, running_trials: int | None = None) -> str:
        """Add a token and return its text, which is not stored and cannot be returned again.

        Raises:
            ConflictError: if the name is taken.
            InputError: if the name is invalid, the scope is unknown, or no trial may run.
        """
        if not _NAME.fullmatch(name):
            raise InputError(f'a token needs a name of up to 100 letters, digits, dots, dashes and @, got "{name}"')
        if scope not in SCOPES:
            raise InputError(f'unknown scope "{scope}"; {suggest_choice(scope, SCOPES)}')
        if running_trials is not None and not 1 <= running_trials <= 1_000_000:
            raise InputError(f"running trials: expected a whole number of at least 1, got {running_trials}")
        handle, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = {
            "name": name,
            "handle": handle,
            "digest": _hash_secret(secret),
            "scope": scope,
            "running_trials": running_trials,
            "created_ms": now_ms(),
        }
        try:
            with self._store.write() as connection:
                connection.execute(sa.insert(tokens).values(**row))
        # The database decides, because two processes may create one name at once.
        except sa.exc.IntegrityError:
            message = f'there is a token "{name}" already: remove it first, or choose another name'
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
            raise UnknownError(f'there is no token "{name}"; {suggest_choice(name, known)}')

    def list(self) -> tuple[Token, ...]:
        """Return all tokens, oldest first."""
        with self._store.read() as connection:
            rows = connection.execute(sa.select(tokens).order_by(tokens.c.created_ms, tokens.c.name))
            return tuple(_parse_row(row) for row in rows)

    def check(self, text: str) -> Token | None:
        """Return the token with this text; None if there is none. The time does not show how much of it is right."""
        parts = _TOKEN.fullmatch(text)
        handle, secret = parts.groups() if parts else ("", "")
        with self._store.read() as connection:
            row = connection.execute(sa.select(tokens).where(tokens.c.handle == handle)).one_or_none()
        # Also computed without a row, so that the time does not show whether the handle exists.
        right = hmac.compare_digest(_hash_secret(secret), row.digest if row is not None else _NO_DIGEST)
        return _parse_row(row) if row is not None and right else None


def _hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _parse_row(row: sa.Row[tuple[object, ...]]) -> Token:
    values = row._mapping
    return Token(values["name"], values["scope"], values["running_trials"], values["created_ms"])
