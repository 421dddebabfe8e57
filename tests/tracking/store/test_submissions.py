"""Submissions and requests in the store."""

from tracking.store import submissions as module
from tracking.store.accounts import Identity
from tracking.store.submissions import Request, Submissions


def test_a_second_submission_changes_the_priority_alone(store):
    """The submitter and the time of the first submission stay."""
    table = Submissions(store)
    with store.write() as connection:
        assert table.put("s", Identity("a1", "ann", "submit"), 0, connection)
        assert not table.put("s", Identity("b1", "bob", "submit"), 5, connection)
    found = table.find("s")
    assert (found.submitter, found.priority, found.started_ms) == ("ann", 5, None)
    assert table.find("other") is None


def test_a_start_is_recorded(store):
    """A start sets the time and the most trials at once, for the turns of submitters."""
    table = Submissions(store)
    with store.write() as connection:
        for study, submitter in (("a", "ann"), ("b", "bob")):
            table.put(study, Identity(submitter, submitter, "submit"), 0, connection)
    table.record_start("a", 3)
    table.record_notified("a", 120)
    found = table.find_many(["a", "b"])
    assert (found["a"].trials_at_once, found["a"].notified_bytes, found["b"].started_ms) == (3, 120, None)
    assert table.find_last_started_ms() == {"ann": found["a"].started_ms}


def test_a_request_is_kept_for_a_week(store, monkeypatch):
    """A request is found under its submitter and key, until a later one is stored after its time."""
    table, request = Submissions(store), Request("digest", "s")
    with store.write() as connection:
        table.store_request("ann", "key", request, connection)
        assert table.find_request("ann", "key", connection) == request
        assert table.find_request("bob", "key", connection) is None
        monkeypatch.setattr(module, "_REQUEST_LIFETIME_MS", -1_000)
        table.store_request("ann", "another", request, connection)
        assert table.find_request("ann", "key", connection) is None
