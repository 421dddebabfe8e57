"""Ways in for people: passwords of local accounts, as Argon2 hashes, and accounts of an identity provider."""

from __future__ import annotations

import re
import secrets
import threading
from functools import cache

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from search_spaces.errors import InputError
from tracking.store.accounts import Account, Accounts, Scope
from tracking.store.database import Store
from tracking.store.tables import sessions, sign_ins

LEAST_LENGTH = 10
_MOST_LENGTH = 1000
_HASHES_AT_ONCE = 2  # each takes 64 MB of memory
_OTHER_CHARACTERS = re.compile(r"[^A-Za-z0-9._@-]+")
_MAX_NAME = 90
_turns = threading.BoundedSemaphore(_HASHES_AT_ONCE)


class SignIns:
    """Table of the ways in."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._accounts = Accounts(store)

    def create_account(self, name: str, scope: Scope, password: str, running_trials: int | None = None) -> Account:
        """Add an account with a password.

        Raises:
            ConflictError: if the name is taken.
            InputError: if a value is invalid, or the password is too short or too long.
        """
        row = {"password": _hash_password(password)}
        with self._store.write() as connection:
            account = self._accounts.create(name, scope, running_trials, connection)
            connection.execute(sa.insert(sign_ins).values(account=account.id, **row))
        return account

    def set_password(self, account: Account, password: str) -> None:
        """Give an account a password, and end its sessions.

        Raises:
            InputError: if it is too short or too long.
        """
        row = {"password": _hash_password(password)}
        with self._store.write() as connection:
            known = sign_ins.c.account == account.id
            if not connection.execute(sa.update(sign_ins).where(known).values(**row)).rowcount:
                connection.execute(sa.insert(sign_ins).values(account=account.id, **row))
            connection.execute(sa.delete(sessions).where(sessions.c.account == account.id))

    def check_password(self, name: str, password: str) -> Account | None:
        """Return the account with this name and password; None if there is none. The time does not show which."""
        account = self._accounts.find(name)
        query = sa.select(sign_ins.c.password).where(sign_ins.c.account == (account.id if account else ""))
        with self._store.read() as connection:
            stored = connection.execute(query).scalar_one_or_none()
        with _turns:
            try:
                # Also computed without a hash, so that the time does not show whether the account exists.
                PasswordHasher().verify(stored or _make_other_hash(), password[: _MOST_LENGTH + 1])
            except (VerifyMismatchError, InvalidHashError):
                return None
        return account if stored else None

    def has_password(self, account_id: str) -> bool:
        """Return whether an account has a password."""
        query = sa.select(sign_ins.c.password).where(sign_ins.c.account == account_id)
        with self._store.read() as connection:
            return connection.execute(query).scalar_one_or_none() is not None

    def enter_from_provider(self, issuer: str, subject: str, name: str, scope: Scope) -> Account:
        """Return the account of a provider's subject with its scope of now; make it at the first time.

        Args:
            issuer: the provider.
            subject: the provider's id of the person, which is never given to somebody else.
            name: the name to show; another one if a different account has it.
            scope: what the person may do now, by the provider's claims.
        """
        where = sa.and_(sign_ins.c.issuer == issuer, sign_ins.c.subject == subject)
        with self._store.write() as connection:
            known = connection.execute(sa.select(sign_ins.c.account).where(where)).scalar_one_or_none()
            if known is not None and (account := self._accounts.find_by_id(known, connection)) is not None:
                self._accounts.change(account, scope, connection)
                return Account(account.id, account.name, scope, account.running_trials, account.created_ms)
            # Never that of another account, whoever chose it first: names are for display, but people trust them.
            free = self._find_free_name(name, connection)
            account = self._accounts.create(free, scope, connection=connection)
            connection.execute(sa.insert(sign_ins).values(account=account.id, issuer=issuer, subject=subject))
            return account

    def _find_free_name(self, name: str, connection: sa.Connection) -> str:
        plain = _OTHER_CHARACTERS.sub("-", name).lstrip("._@-")[:_MAX_NAME] or "person"
        number, free = 1, plain
        while self._accounts.find(free, connection) is not None:
            number += 1
            free = f"{plain}-{number}"
        return free


def _hash_password(password: str) -> str:
    if not LEAST_LENGTH <= len(password) <= _MOST_LENGTH:
        raise InputError(f"a password has {LEAST_LENGTH} to {_MOST_LENGTH} characters, got {len(password)}")
    # Outside of any transaction: it takes long on purpose.
    with _turns:
        return PasswordHasher().hash(password)


@cache
def _make_other_hash() -> str:
    return PasswordHasher().hash(secrets.token_urlsafe(32))
