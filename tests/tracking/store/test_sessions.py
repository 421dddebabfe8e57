"""Sessions: they end idle, at their longest time, and with their account or token."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tracking.store import sessions as module
from tracking.store.accounts import Accounts
from tracking.store.sessions import Sessions
from tracking.store.tables import sessions as table
from tracking.store.tokens import Tokens


@pytest.fixture
def clock(monkeypatch):
    """The time of the sessions, in milliseconds; a test moves it on."""
    now = [1_000_000]
    monkeypatch.setattr(module, "now_ms", lambda: now[0])
    return now


@pytest.fixture
def sessions(store):
    return Sessions(store, idle_s=100.0, longest_s=250.0)


def test_a_session_ends_idle_or_at_its_longest_time(store, sessions, clock):
    """A request puts off the end of an idle session, and not its last end."""
    ann = Accounts(store).create("ann", "submit")
    text = sessions.begin(ann)
    idle = sessions.begin(ann)
    for _ in range(2):
        clock[0] += 99_000
        assert sessions.check(text).name == "ann"
    assert sessions.check(idle) is None
    clock[0] += 60_000
    assert sessions.check(text) is None
    sessions.begin(ann)  # removes the ended ones
    with store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 1


def test_a_use_is_written_once_a_minute_and_no_look_is_one(store, sessions, clock):
    """Of many requests, one writes; a stream that only checks does not keep a session alive."""
    text = sessions.begin(Accounts(store).create("ann", "submit"))
    began = clock[0]
    identity = sessions.check(text)

    def used():
        with store.read() as connection:
            return connection.scalar(sa.select(table.c.used_ms))

    clock[0] += 59_000
    sessions.check(text)
    assert used() == began
    clock[0] += 2_000
    assert sessions.recheck(identity.credential) == identity
    assert used() == began
    sessions.check(text)
    assert used() == clock[0]


def test_nothing_of_a_cookie_is_stored(store, sessions):
    """A reader of the database cannot use what is there."""
    text = sessions.begin(Accounts(store).create("ann", "submit"))
    with store.read() as connection:
        [row] = connection.execute(sa.select(table)).all()
    assert all(text not in str(value) for value in row)


def test_a_session_ends_with_what_it_came_from(store, sessions):
    """With its account; one that was begun with a token also with the token, whose scope it has."""
    accounts, tokens = Accounts(store), Tokens(store)
    accounts.create("ann", "submit")
    handle = tokens.check(tokens.create("ann", "read")).credential.removeprefix("token:")
    ann = accounts.get("ann")
    of_token, of_account = sessions.begin(ann, handle), sessions.begin(ann)
    assert (sessions.check(of_token).scope, sessions.check(of_account).scope) == ("read", "submit")
    tokens.rotate("ann")
    assert sessions.check(of_token) is None
    accounts.change(ann, "read")
    assert sessions.check(of_account).scope == "read"
    accounts.remove(ann)
    assert sessions.check(of_account) is None
    assert sessions.check("x") is None
