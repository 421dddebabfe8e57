"""The outbox's table: rows that wait, repeated rows, and the kept ends of studies."""

import subprocess
import sys
from dataclasses import replace

import pytest

from tracking.outbox.outbox import Backlog, Outbox
from tracking.outbox.records import ModelDisplaced


def test_the_last_end_of_a_study_stays(store, a_study):
    """The last `StudyClosed` can be found, waiting or delivered, and does not count as waiting."""
    outbox = Outbox(store)
    *_, closed = a_study("s")
    assert outbox.find_closed("s") is None
    for reason in ("first", "second"):
        outbox.add([replace(closed, reason=reason), *a_study("other")])
        assert outbox.find_closed("s").reason == reason
        outbox.acknowledge(outbox.read_next_rows(None, 100))
        assert outbox.read_backlog() == Backlog(0, 0, "")
        assert outbox.find_closed("s").reason == reason


def test_repeated_rows_are_not_doubled(store, a_study):
    """Rows that are added again replace those that wait; others keep theirs."""
    outbox, records = Outbox(store), a_study("s")
    outbox.add([ModelDisplaced("s", 7), *records, *a_study("other")])
    outbox.record_error(outbox.read_next_rows("s", 3)[2:], "no", attempts=3, set_aside=True)
    with store.write() as connection:
        outbox.add_or_replace("s", records, connection)
    assert [row.record for row in outbox.read_next_rows("s", 100)] == [ModelDisplaced("s", 7), *records]
    assert outbox.read_backlog("s").set_aside == 0
    assert outbox.count_pending("other") == len(a_study("other"))


def test_the_studies_that_wait_are_known(store, a_study):
    """Studies of which something waits or was set aside are named, the longest waiting first."""
    outbox = Outbox(store)
    outbox.add([*a_study("b"), ModelDisplaced("c", 1)])
    outbox.acknowledge(outbox.read_next_rows("b", 100))
    outbox.add([ModelDisplaced("a", 1), ModelDisplaced("b", 1)])
    outbox.record_error(outbox.read_next_rows("a", 1), "no", attempts=3, set_aside=True)
    assert outbox.list_studies() == ("c", "a", "b")


@pytest.mark.parametrize("module", ["mlflow", "tensorflow", "keras", "matplotlib"])
def test_opening_the_outbox_is_cheap(module):
    """Neither MLflow nor TensorFlow is imported to queue a study, to add rows, or to prepare their delivery."""
    modules = "tracking.outbox.dispatcher, tracking.mlflow.sink, tracking.store.study_queue, tracking.mlflow.server"
    code = f"import sys, {modules}; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
