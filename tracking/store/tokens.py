"""Tokens for people and programs that use the service: one or several of an account, each with a label.

A token is `ks_<handle>_<secret>`: the handle finds its row; the table holds only a SHA-256 of the secret. The secret
has 256 random bits and cannot be guessed, so a fast hash is as good as a slow one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from search_spaces.errors import ConflictError, InputError, UnknownError, suggest_choice
from tracking.store.accounts import Account, Accounts, Identity, Scope, check_scope, narrow_scope
from tracking.store.database import Store
from tracking.store.tables import access_tokens, accounts, now_ms, sign_ins

DEFAULT_LABEL = "default"
LONGEST_S = 10_000 * 86_400.0
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,49}")
# The lengths of `token_hex(6)` and `token_urlsafe(32)`.
_TOKEN = re.compile(r"ks_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NO_DIGEST = hashlib.sha256(b"").hexdigest()
_PREFIX = "token:"
_USED_AGE_MS = 60_000  # the last use is written once a minute at most
_MAX_OF_AN_ACCOUNT = 50


@dataclass(frozen=True)
class Token:
    """One token: its account and what it may do.

    Attributes:
        account: id of its account.
        name: name of its account.
        label: its name among the tokens of the account.
        scope: scope of the token; at most that of its account.
        running_trials: how many trials of the account's studies may train at once; None for any number.
        expires_ms: when it ends; None for never.
        used_ms: its last use, to the minute; None if it was not used.
    """

    account: str
    name: str
    label: str
    scope: Scope
    running_trials: int | None
    created_ms: int
    expires_ms: int | None
    used_ms: int | None


class Tokens:
    """Table of tokens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._accounts = Accounts(store)

    def create(
        self,
        name: str,
        scope: Scope,
        running_trials: int | None = None,
        *,
        label: str = DEFAULT_LABEL,
        lifetime_s: float | None = None,
    ) -> str:
        """Add a token, with an account if there is none; return the text, which is not stored.

        Args:
            name: name of the account.
            scope: what the token may do; a new account may do as much.
            running_trials: most trials of a new account's studies that train at once.
            label: name of the token among those of the account.
            lifetime_s: seconds until it expires; None for never.

        Raises:
            ConflictError: if the account has a token of that label.
            InputError: if a value is invalid, or the account may do less.
        """
        check_scope(scope)
        with self._store.write() as connection:
            account = self._accounts.find(name, connection)
            if account is None:
                account = self._accounts.create(name, scope, running_trials, connection)
            elif running_trials is not None and running_trials != account.running_trials:
                raise ConflictError(
                    f'there is an account "{name}" already; its running trials are those of the account'
                )
            return self.add(account, scope, label=label, lifetime_s=lifetime_s, connection=connection)

    def add(
        self,
        account: Account,
        scope: Scope,
        *,
        label: str,
        lifetime_s: float | None = None,
        connection: sa.Connection | None = None,
    ) -> str:
        """Add a token to an account; return its text.

        Raises:
            ConflictError: if the account has one of that label, or too many.
            InputError: if a value is invalid, or the account may do less.
        """
        _check_new(account, scope, label, lifetime_s)
        with self._store.write(connection) as writing:
            present = self._list(writing, access_tokens.c.account == account.id)
            if any(each.label == label and not _has_expired(each) for each in present):
                raise ConflictError(
                    f'there is a token "{account.name}" already with the label {label}: choose another --label, '
                    "rotate it, or remove it first"
                )
            if len(present) >= _MAX_OF_AN_ACCOUNT:
                raise ConflictError(f"{account.name} has {_MAX_OF_AN_ACCOUNT} tokens: remove one first")
            self._delete(writing, account.id, label)
            return _insert(writing, account.id, scope, label, lifetime_s)

    def rotate(
        self,
        name: str,
        label: str = DEFAULT_LABEL,
        *,
        overlap_s: float = 0.0,
        lifetime_s: float | None = None,
        by: str = "",
    ) -> str:
        """Replace a token by a new one of the same account, label and scope; return the new one's text.

        Args:
            name: name of the account.
            label: name of the token among those of the account.
            overlap_s: seconds for which the old one stays valid; it ends at once by default.
            lifetime_s: seconds until the new one expires; by default it lives as long as the old one was to live.
            by: credential of the caller's identity, where the caller is an account.

        Raises:
            UnknownError: if there is no such token.
            ConflictError: if the caller's own token has been replaced since the request was let in.
            InputError: if a time is invalid.
        """
        if not 0 <= overlap_s <= LONGEST_S:
            raise InputError(f"overlap: expected at least 0 and at most {LONGEST_S:.0f} seconds, got {overlap_s}")
        with self._store.write() as connection:
            # The newest: an older one may still be in its overlap.
            old = self._get(connection, name, label)[-1]
            _check_not_replaced(connection, by, old)
            if lifetime_s is None and old.expires_ms is not None:
                lifetime_s = (old.expires_ms - old.created_ms) / 1000
            until, condition = now_ms() + int(overlap_s * 1000), _match(old.account, label)
            sooner = sa.or_(access_tokens.c.expires_ms.is_(None), access_tokens.c.expires_ms > until)
            connection.execute(sa.update(access_tokens).where(condition, sooner).values(expires_ms=until))
            connection.execute(sa.delete(access_tokens).where(condition, access_tokens.c.expires_ms <= now_ms()))
            return _insert(connection, old.account, old.scope, label, lifetime_s)

    def remove(self, name: str, label: str | None = None, *, keeps_account: bool = False) -> None:
        """Remove a token, or all of an account; they are refused from now on.

        An account ends with its last way in: without a token, a password or a provider, nobody could use it.

        Args:
            name: name of the account.
            label: name of the token; None for all.
            keeps_account: refuse to remove the last way in.

        Raises:
            UnknownError: if there is no such token.
            ConflictError: if it is the last way in, and the account is to be kept.
        """
        with self._store.write() as connection:
            account = self._get(connection, name, label)[0].account
            self._delete(connection, account, label)
            if self._has_way_in(connection, account):
                return
            if keeps_account:  # raised within the transaction, so that nothing is removed
                raise ConflictError("this token is your only way in: rotate it, or have an admin remove your account")
            self._accounts.remove(Account(account, name, "read", None, 0), connection)

    def list(self, account: str | None = None) -> tuple[Token, ...]:
        """Return all tokens, or those of an account's id, oldest first."""
        condition = sa.true() if account is None else access_tokens.c.account == account
        with self._store.read() as connection:
            return self._list(connection, condition)

    def check(self, text: str) -> Identity | None:
        """Return who has the token with this text; None if there is none. The time does not show how much is right."""
        parts = _TOKEN.fullmatch(text)
        handle, secret = parts.groups() if parts else ("", "")
        with self._store.read() as connection:
            row = connection.execute(_SELECTED.where(access_tokens.c.handle == handle)).one_or_none()
        # Also computed without a row, so that the time does not show whether the handle exists.
        right = hmac.compare_digest(_hash_secret(secret), row.digest if row is not None else _NO_DIGEST)
        if row is None or not right or _has_expired(_parse_row(row)):
            return None
        if row.used_ms is None or now_ms() - row.used_ms > _USED_AGE_MS:
            used = sa.update(access_tokens).where(access_tokens.c.handle == handle).values(used_ms=now_ms())
            # A full disk must keep nobody out.
            with suppress(sa.exc.OperationalError), self._store.write() as connection:
                connection.execute(used)
        return _make_identity(row)

    def recheck(self, credential: str) -> Identity | None:
        """Return who has the token of an identity's credential; None once it is removed or has expired."""
        handle = access_tokens.c.handle == credential.removeprefix(_PREFIX)
        with self._store.read() as connection:
            row = connection.execute(_SELECTED.where(handle)).one_or_none()
        return None if row is None or _has_expired(_parse_row(row)) else _make_identity(row)

    def _get(self, connection: sa.Connection, name: str, label: str | None) -> tuple[Token, ...]:
        found = self._list(connection, accounts.c.name == name)
        if not found:
            known = sorted({token.name for token in self._list(connection, sa.true())})
            raise UnknownError(f'there is no token "{name}"; {suggest_choice(name, known)}')
        labelled = tuple(each for each in found if label in (None, each.label))
        if not labelled:
            known = sorted({token.label for token in found})
            raise UnknownError(f'{name} has no token with the label "{label}"; {suggest_choice(label or "", known)}')
        return labelled

    def _list(self, connection: sa.Connection, condition: sa.ColumnElement[bool]) -> tuple[Token, ...]:
        order = (access_tokens.c.created_ms, accounts.c.name, access_tokens.c.label)
        return tuple(_parse_row(row) for row in connection.execute(_SELECTED.where(condition).order_by(*order)))

    def _delete(self, connection: sa.Connection, account: str, label: str | None) -> None:
        connection.execute(sa.delete(access_tokens).where(_match(account, label)))

    def _has_way_in(self, connection: sa.Connection, account: str) -> bool:
        tables = (access_tokens, sign_ins)
        counts = [sa.select(sa.func.count()).select_from(each).where(each.c.account == account) for each in tables]
        return any(connection.execute(count).scalar_one() for count in counts)


def _check_new(account: Account, scope: Scope, label: str, lifetime_s: float | None) -> None:
    check_scope(scope)
    if not _LABEL.fullmatch(label):
        raise InputError(f'a label has up to 50 letters, digits, dots, dashes and @, got "{label}"')
    if narrow_scope(scope, account.scope) != scope:
        raise InputError(
            f'a token of {account.name} may do at most what the account may: expected scope "{account.scope}"'
        )
    if lifetime_s is not None and not 0 < lifetime_s <= LONGEST_S:
        raise InputError(f"expires: expected a time above zero and of at most 10000 days, got {lifetime_s} seconds")


def _check_not_replaced(connection: sa.Connection, by: str, newest: Token) -> None:
    """Check that a caller is no token with a successor: of two at once, the second would end the first's new one."""
    if not by.startswith(_PREFIX):
        return
    held = connection.execute(_SELECTED.where(access_tokens.c.handle == by.removeprefix(_PREFIX))).one_or_none()
    token = None if held is None else _parse_row(held)
    is_of_label = token is not None and (token.account, token.label) == (newest.account, newest.label)
    if token is None or (is_of_label and token.created_ms < newest.created_ms):
        raise ConflictError("this token has been rotated or removed already: use the new one, or ask an admin for one")


def _insert(connection: sa.Connection, account: str, scope: Scope, label: str, lifetime_s: float | None) -> str:
    handle, secret, now = secrets.token_hex(6), secrets.token_urlsafe(32), now_ms()
    row = {
        "handle": handle,
        "account": account,
        "label": label,
        "digest": _hash_secret(secret),
        "scope": scope,
        "created_ms": now,
        "expires_ms": None if lifetime_s is None else now + int(lifetime_s * 1000),
    }
    connection.execute(sa.insert(access_tokens).values(**row))
    return f"ks_{handle}_{secret}"


def _match(account: str, label: str | None) -> sa.ColumnElement[bool]:
    of_account = access_tokens.c.account == account
    return of_account if label is None else sa.and_(of_account, access_tokens.c.label == label)


def _hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _has_expired(token: Token) -> bool:
    return token.expires_ms is not None and token.expires_ms <= now_ms()


def _make_identity(row: sa.Row[tuple[object, ...]]) -> Identity:
    token = _parse_row(row)
    handle = row._mapping["handle"]
    return Identity(token.account, token.name, token.scope, token.running_trials, f"{_PREFIX}{handle}")


def _parse_row(row: sa.Row[tuple[object, ...]]) -> Token:
    values = row._mapping
    return Token(
        account=values["account"],
        name=values["name"],
        label=values["label"],
        scope=narrow_scope(values["scope"], values["most"]),
        running_trials=values["running_trials"],
        created_ms=values["created_ms"],
        expires_ms=values["expires_ms"],
        used_ms=values["used_ms"],
    )


_SELECTED = sa.select(
    access_tokens, accounts.c.name, accounts.c.scope.label("most"), accounts.c.running_trials
).join_from(access_tokens, accounts, access_tokens.c.account == accounts.c.id)
