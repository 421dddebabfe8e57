"""Tokens for people and programs that use the service: one or several of an account.

A token is `ks_<handle>_<secret>`: the handle finds its row; the table holds only a SHA-256 of the secret. The secret
has 256 random bits and cannot be guessed, so a fast hash is as good as a slow one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from search_spaces.errors import ConflictError, UnknownError, suggest_choice
from tracking.store.accounts import SCOPES, Accounts, Identity, Scope
from tracking.store.database import Store, access_tokens, accounts, now_ms

# The lengths of `token_hex(6)` and `token_urlsafe(32)`.
_TOKEN = re.compile(r"ks_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NO_DIGEST = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Token:
    """One token: its account and what it may do.

    Attributes:
        account: id of its account.
        name: name of its account.
        scope: scope of the token; at most that of its account.
        running_trials: how many trials of the account's studies may train at once; None for any number.
    """

    account: str
    name: str
    scope: Scope
    running_trials: int | None
    created_ms: int


class Tokens:
    """Table of tokens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._accounts = Accounts(store)

    def create(self, name: str, scope: Scope, running_trials: int | None = None) -> str:
        """Add an account with a token; return the text, which is not stored and cannot be returned again.

        Raises:
            ConflictError: if the name is taken.
            InputError: if the name is invalid, the scope is unknown, or no trial may run.
        """
        handle, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = {"handle": handle, "label": "", "digest": _hash_secret(secret), "scope": scope, "created_ms": now_ms()}
        with self._store.write() as connection:
            if self._accounts.find(name, connection) is not None:
                raise ConflictError(f'there is a token "{name}" already: remove it first, or choose another name')
            account = self._accounts.create(name, scope, running_trials, connection)
            connection.execute(sa.insert(access_tokens).values(**row, account=account.id))
        return f"ks_{handle}_{secret}"

    def remove(self, name: str) -> None:
        """Remove an account with its tokens; they are refused from now on.

        Raises:
            UnknownError: if there is none of that name.
        """
        account = self._accounts.find(name)
        if account is None:
            known = [token.name for token in self.list()]
            raise UnknownError(f'there is no token "{name}"; {suggest_choice(name, known)}')
        self._accounts.remove(account)

    def list(self) -> tuple[Token, ...]:
        """Return all tokens, oldest first."""
        with self._store.read() as connection:
            rows = connection.execute(_SELECTED.order_by(access_tokens.c.created_ms, accounts.c.name))
            return tuple(_parse_row(row) for row in rows)

    def check(self, text: str) -> Identity | None:
        """Return who has the token with this text; None if there is none. The time does not show how much is right."""
        parts = _TOKEN.fullmatch(text)
        handle, secret = parts.groups() if parts else ("", "")
        with self._store.read() as connection:
            row = connection.execute(_SELECTED.where(access_tokens.c.handle == handle)).one_or_none()
        # Also computed without a row, so that the time does not show whether the handle exists.
        right = hmac.compare_digest(_hash_secret(secret), row.digest if row is not None else _NO_DIGEST)
        if row is None or not right:
            return None
        token = _parse_row(row)
        return Identity(token.account, token.name, token.scope, token.running_trials, f"token:{handle}")


def _hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _parse_row(row: sa.Row[tuple[object, ...]]) -> Token:
    values = row._mapping
    scope: Scope = min(values["scope"], values["most"], key=SCOPES.index)
    return Token(values["account"], values["name"], scope, values["running_trials"], values["created_ms"])


_SELECTED = sa.select(
    access_tokens, accounts.c.name, accounts.c.scope.label("most"), accounts.c.running_trials
).join_from(access_tokens, accounts, access_tokens.c.account == accounts.c.id)
