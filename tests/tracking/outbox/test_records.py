"""Records as rows of the outbox."""

from tracking.outbox.outbox import Outbox
from tracking.outbox.records import ModelDisplaced


def test_every_kind_of_record_comes_back_as_it_was(store, a_study):
    """A record read from the outbox equals the one that was added."""
    records = [*a_study("s"), ModelDisplaced("s", 3)]
    outbox = Outbox(store)
    outbox.add(records)
    assert [row.record for row in outbox.read_next_rows("s", 100)] == records
