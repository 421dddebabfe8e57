"""Ways in for people: passwords, and accounts of a provider."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from search_spaces.errors import InputError
from tracking.store.accounts import Accounts
from tracking.store.sign_ins import SignIns
from tracking.store.tables import sign_ins as table


def test_a_password_is_stored_as_a_hash(store):
    """Whoever reads the database has an Argon2 hash alone."""
    sign_ins = SignIns(store)
    account = sign_ins.create_account("ann", "submit", "correct horse")
    assert sign_ins.check_password("ann", "correct horse") == account
    for name, password in (("ann", "wrong horse"), ("bob", "correct horse"), ("ann", ""), ("ann", "x" * 2000)):
        assert sign_ins.check_password(name, password) is None
    with store.read() as connection:
        assert connection.scalar(sa.select(table.c.password)).startswith("$argon2id$")
    for wrong in ("short", "x" * 1001):
        with pytest.raises(InputError, match="10 to 1000 characters"):
            sign_ins.set_password(account, wrong)


def test_an_account_without_a_password_takes_none(store):
    """Not even an empty one."""
    Accounts(store).create("ann", "submit")
    assert SignIns(store).check_password("ann", "") is None


def test_a_providers_subject_keeps_its_account(store):
    """By issuer and subject and never by a name, which another account may have; the scope is that of now."""
    accounts, sign_ins = Accounts(store), SignIns(store)
    local = accounts.create("ann", "admin")
    first = sign_ins.enter_from_provider("https://a", "1", "ann", "submit")
    assert (first.name, first.scope) == ("ann-2", "submit")
    again = sign_ins.enter_from_provider("https://a", "1", "renamed", "read")
    assert (again.id, again.name, again.scope) == (first.id, "ann-2", "read")
    others = [sign_ins.enter_from_provider(*each, "ann", "read") for each in (("https://a", "2"), ("https://b", "1"))]
    assert len({local.id, first.id, *(each.id for each in others)}) == 4
    assert sign_ins.enter_from_provider("https://a", "3", "Ö/../<b>", "read").name == "b-"
    accounts.remove(first)
    assert sign_ins.enter_from_provider("https://a", "1", "ann", "read").id != first.id
