"""Tokens: shown once, stored as digests, checked whole; and the record of what was submitted."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from search_spaces.errors import ConflictError, InputError, UnknownError
from tracking.store import tokens as module
from tracking.store.accounts import Identity
from tracking.store.submissions import Request, Submissions
from tracking.store.tables import access_tokens as table
from tracking.store.tokens import Tokens


@pytest.fixture
def tokens(store):
    return Tokens(store)


def test_a_token_is_known_again(tokens):
    """With its name, scope and quota."""
    written = tokens.create("ann", "submit", 4)
    token = tokens.check(written)
    assert (token.name, token.scope, token.running_trials) == ("ann", "submit", 4)
    assert [each.name for each in tokens.list()] == ["ann"]


def test_nothing_of_the_secret_is_stored(store, tokens):
    """A reader of the database cannot use what is there."""
    secret = tokens.create("ann", "admin").rpartition("_")[2]
    with store.read() as connection:
        [row] = connection.execute(sa.select(table)).all()
    assert all(secret not in str(value) for value in row)


def test_whatever_differs_is_refused(tokens):
    """One letter, another's secret, an empty one, a removed one."""
    ann, bob = tokens.create("ann", "read"), tokens.create("bob", "read")
    flipped = ann[:-1] + ("A" if ann[-1] != "A" else "B")
    mixed = "_".join([*ann.split("_", 2)[:2], bob.split("_", 2)[2]])
    for wrong in (
        flipped,
        mixed,
        "",
        "ks_",
        ann[:-1],
        f"{ann}A",
        f" {ann}",
        ann.upper(),
        "ks_000000000000_" + "A" * 43,
    ):
        assert tokens.check(wrong) is None
    tokens.remove("ann")
    assert tokens.check(ann) is None
    assert tokens.check(bob).name == "bob"


def test_scopes_take_each_other_in(tokens):
    """An admin may submit and read, a submitter may read."""
    admin, submitter, reader = (tokens.check(tokens.create(scope, scope)) for scope in ("admin", "submit", "read"))
    assert [admin.has_scope(scope) for scope in ("read", "submit", "admin")] == [True, True, True]
    assert [submitter.has_scope(scope) for scope in ("read", "submit", "admin")] == [True, True, False]
    assert [reader.has_scope(scope) for scope in ("read", "submit", "admin")] == [True, False, False]


def test_bad_input_is_refused(tokens):
    """A taken name, no name, an unknown scope, a quota of nothing, a name that is not there."""
    tokens.create("ann", "read")
    with pytest.raises(ConflictError, match="already"):
        tokens.create("ann", "read")
    for name in ("", "a b", "../x", "a" * 101, "a\n"):
        with pytest.raises(InputError, match="needs a name"):
            tokens.create(name, "read")
    with pytest.raises(InputError, match='unknown scope "raed"; did you mean "read"'):
        tokens.create("bob", "raed")
    with pytest.raises(InputError, match="at least 1"):
        tokens.create("bob", "read", 0)
    with pytest.raises(UnknownError, match='no token "an"; did you mean "ann"'):
        tokens.remove("an")


def test_a_submission_keeps_its_submitter(store):
    """Handing a study in again changes its priority, and not whose it is or since when it waits."""
    submissions = Submissions(store)
    with store.write() as connection:
        assert submissions.put("s", Identity("a1", "ann", "submit"), 0, connection)
        assert not submissions.put("s", Identity("b1", "bob", "submit"), 7, connection)
    found = submissions.find("s")
    assert (found.submitter, found.priority, found.started_ms) == ("ann", 7, None)
    submissions.record_start("s", 3)
    assert submissions.find("s").trials_at_once == 3
    assert list(submissions.find_last_started_ms()) == ["a1"]
    assert submissions.find_many(["s", "t"]).keys() == {"s"}


def test_a_request_is_remembered_for_its_submitter(store):
    """Two people may choose the same key."""
    submissions = Submissions(store)
    with store.write() as connection:
        submissions.store_request("ann", "k", Request("d", "s"), connection)
        assert submissions.find_request("ann", "k", connection) == Request("d", "s")
        assert submissions.find_request("bob", "k", connection) is None


@pytest.fixture
def clock(monkeypatch):
    """The time of the tokens, in milliseconds; a test moves it on."""
    now = [1_000_000]
    monkeypatch.setattr(module, "now_ms", lambda: now[0])
    return now


def test_a_token_expires(tokens, clock):
    """To the millisecond; its label is then free, and its account stays."""
    text = tokens.create("ann", "submit", lifetime_s=60.0)
    account = tokens.check(text).id
    clock[0] += 59_999
    identity = tokens.check(text)
    clock[0] += 1
    assert tokens.check(text) is None
    assert tokens.recheck(identity.credential) is None
    assert tokens.check(tokens.create("ann", "submit")).id == account
    assert len(tokens.list()) == 1


def test_a_rotation_keeps_account_label_scope_and_lifetime(tokens, clock):
    """The old token ends at once or after the overlap, and never later than it was to end."""
    old = tokens.create("ann", "read", 3, lifetime_s=100.0)
    identity = tokens.check(old)
    clock[0] += 50_000
    new = tokens.rotate("ann", overlap_s=10.0)
    assert (tokens.check(new).id, tokens.check(new).scope) == (identity.id, "read")
    assert tokens.check(old) is not None
    clock[0] += 10_000
    assert tokens.check(old) is None
    newest = tokens.rotate("ann", overlap_s=1000.0)
    clock[0] += 95_000
    assert (tokens.check(new), tokens.check(newest).name) == (None, "ann")
    at_once = tokens.rotate("ann", lifetime_s=5.0)
    assert tokens.check(newest) is None
    assert tokens.check(at_once) is not None
    with pytest.raises(UnknownError, match='no token with the label "x"'):
        tokens.rotate("ann", "x")


def test_a_token_that_has_a_successor_rotates_nothing(tokens, clock):
    """Its second rotation, in the overlap or after, would end the successor."""
    old = tokens.create("ann", "read")
    by = tokens.check(old).credential
    clock[0] += 1
    new = tokens.rotate("ann", overlap_s=10.0, by=by)
    with pytest.raises(ConflictError, match="rotated or removed already"):
        tokens.rotate("ann", by=by)
    clock[0] += 1
    newest = tokens.rotate("ann", by=tokens.check(new).credential)
    with pytest.raises(ConflictError, match="rotated or removed already"):
        tokens.rotate("ann", by=by)
    assert tokens.check(newest) is not None


def test_the_last_use_is_written_once_a_minute(tokens, clock):
    """Requests that follow one another do not write each."""
    text = tokens.create("ann", "read")
    assert tokens.list()[0].used_ms is None
    uses = []
    for _ in range(4):
        tokens.check(text)
        uses.append(tokens.list()[0].used_ms)
        clock[0] += 25_000
    assert uses == [1_000_000, 1_000_000, 1_000_000, 1_075_000]


def test_an_account_ends_with_its_last_token(store, tokens):
    """Its name is then somebody else's; a token of a larger scope than the account's is refused."""
    first = tokens.check(tokens.create("ann", "submit")).id
    ci = tokens.check(tokens.create("ann", "read", label="ci"))
    assert (ci.id, ci.scope) == (first, "read")
    with pytest.raises(InputError, match="at most what the account may"):
        tokens.create("ann", "admin", label="x")
    with pytest.raises(InputError, match="a label has"):
        tokens.create("ann", "read", label="a b")
    tokens.remove("ann", "default")
    assert tokens.list()[0].label == "ci"
    tokens.remove("ann")
    assert tokens.check(tokens.create("ann", "submit")).id != first
