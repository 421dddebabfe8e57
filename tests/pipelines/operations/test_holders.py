"""Messages about a process that works on a study which is to be changed."""

from __future__ import annotations

import dataclasses

import pytest

from pipelines.operations.holders import check_unheld
from pipelines.operations.submit import submit_study
from search_spaces.errors import ConflictError
from tracking.store.processes import identify_process


@pytest.fixture
def record(tracked_desk):
    """Record of a submitted study that nobody holds."""
    with tracked_desk.store.write() as connection:
        submit_study(tracked_desk.study(), tracked_desk.queue, connection)
    return tracked_desk.queue.get("it")


def test_a_study_that_nobody_holds_may_change(record):
    """There is no message."""
    check_unheld(record, "archive")


@pytest.mark.parametrize("state", ["queued", "preparing", "running", "paused"])
def test_a_study_that_goes_on_is_ended_first(record, state):
    """The message names the process, and the command that ends it."""
    held = dataclasses.replace(record, state=state, owner=identify_process())
    with pytest.raises(ConflictError, match=r"process \d+ on .* or kerastudy cancel it, then kerastudy archive it"):
        check_unheld(held, "archive")


@pytest.mark.parametrize("state", ["finished", "failed", "cancelled", "deleting"])
def test_a_study_that_has_ended_is_only_waited_for(record, state):
    """What has ended cannot be cancelled: the message names no such command."""
    held = dataclasses.replace(record, state=state, owner=identify_process())
    with pytest.raises(ConflictError, match="takes seconds: then kerastudy archive it again") as raised:
        check_unheld(held, "archive")
    assert "cancel" not in str(raised.value)
