"""Accounts: who uses the service. Ids are random and decide who owns what; names are for display.

An account removed and made again under its name is another account: it controls nothing of the first one.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Literal, get_args

import sqlalchemy as sa

from search_spaces.errors import ConflictError, InputError, UnknownError, suggest_choice
from tracking.store.database import Store
from tracking.store.tables import access_tokens, accounts, now_ms, sessions, sign_ins

Scope = Literal["read", "submit", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
LOCAL_USER = "local:"
"""First part of the id of a person who submits on the home itself, without an account."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")


@dataclass(frozen=True)
class Identity:
    """The caller of a request: an account, and what this request may do.

    Attributes:
        id: the account's id; it stays the same for as long as the account exists.
        name: the account's name, for display.
        scope: `read` may look and export, `submit` may also submit studies and control those, `admin` may do all.
        running_trials: how many trials of the account's studies may train at once; None for any number.
        credential: the token or session that the request came with.
    """

    id: str
    name: str
    scope: Scope
    running_trials: int | None = None
    credential: str = field(default="", repr=False)

    def has_scope(self, scope: Scope) -> bool:
        """Return whether the identity's scope includes another."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


OPERATOR = Identity("", "", "admin")
"""Whoever works on the home itself, without a service."""


@dataclass(frozen=True)
class Account:
    """One account.

    Attributes:
        id: random id; it decides who owns what.
        name: name of the person or program, and the submitter of its studies.
        running_trials: how many trials of its studies may train at once; None for any number.
    """

    id: str
    name: str
    scope: Scope
    running_trials: int | None
    created_ms: int


class Accounts:
    """Table of accounts. Methods that take a `connection` join its transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(
        self, name: str, scope: Scope, running_trials: int | None = None, connection: sa.Connection | None = None
    ) -> Account:
        """Add an account.

        Raises:
            ConflictError: if the name is taken.
            InputError: if the name is invalid, the scope is unknown, or no trial may run.
        """
        if not _NAME.fullmatch(name):
            raise InputError(f'an account needs a name of up to 100 letters, digits, dots, dashes and @, got "{name}"')
        check_scope(scope)
        if running_trials is not None and not 1 <= running_trials <= 1_000_000:
            raise InputError(f"running trials: expected a whole number of at least 1, got {running_trials}")
        account = Account(secrets.token_hex(8), name, scope, running_trials, now_ms())
        try:
            with self._store.write(connection) as writing:
                writing.execute(sa.insert(accounts).values(**vars(account)))
        # The database decides, because two processes may create one name at once.
        except sa.exc.IntegrityError:
            message = f'there is an account "{name}" already: remove it first, or choose another name'
            raise ConflictError(message) from None
        return account

    def find(self, name: str, connection: sa.Connection | None = None) -> Account | None:
        """Return the account of a name; None if there is none."""
        return self._find(accounts.c.name == name, connection)

    def find_by_id(self, id_: str, connection: sa.Connection | None = None) -> Account | None:
        """Return the account with an id; None if it was removed."""
        return self._find(accounts.c.id == id_, connection)

    def get(self, name: str) -> Account:
        """Return the account of a name.

        Raises:
            UnknownError: if there is none.
        """
        if (found := self.find(name)) is None:
            known = [account.name for account in self.list()]
            raise UnknownError(f'there is no account "{name}"; {suggest_choice(name, known)}')
        return found

    def list(self) -> tuple[Account, ...]:
        """Return all accounts, oldest first."""
        with self._store.read() as connection:
            rows = connection.execute(_SELECTED.order_by(accounts.c.created_ms, accounts.c.name))
            return tuple(Account(**row._mapping) for row in rows)

    def change(self, account: Account, scope: Scope, connection: sa.Connection | None = None) -> None:
        """Change what an account may do, from the next request on; its tokens may do no more."""
        check_scope(scope)
        with self._store.write(connection) as writing:
            writing.execute(sa.update(accounts).where(accounts.c.id == account.id).values(scope=scope))

    def remove(self, account: Account, connection: sa.Connection | None = None) -> None:
        """Remove an account with its tokens, sessions and password; they are refused from now on."""
        with self._store.write(connection) as writing:
            for table in (access_tokens, sessions, sign_ins):
                writing.execute(sa.delete(table).where(table.c.account == account.id))
            writing.execute(sa.delete(accounts).where(accounts.c.id == account.id))

    def _find(self, condition: sa.ColumnElement[bool], connection: sa.Connection | None) -> Account | None:
        if connection is None:
            with self._store.read() as reading:
                return self._find(condition, reading)
        row = connection.execute(_SELECTED.where(condition)).one_or_none()
        return None if row is None else Account(**row._mapping)


def narrow_scope(scope: Scope, most: Scope | None) -> Scope:
    """Return the smaller of two scopes; the first if there is no other."""
    return scope if most is None else min(scope, most, key=SCOPES.index)


def check_scope(scope: str) -> None:
    """Check that a scope is known.

    Raises:
        InputError: if it is not.
    """
    if scope not in SCOPES:
        raise InputError(f'unknown scope "{scope}"; {suggest_choice(scope, SCOPES)}')


_SELECTED = sa.select(
    accounts.c.id, accounts.c.name, accounts.c.scope, accounts.c.running_trials, accounts.c.created_ms
)
