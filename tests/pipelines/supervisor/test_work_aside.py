"""Rules of work that a thread does beside the supervisor."""

from __future__ import annotations

import threading
import time

import pytest

from pipelines.supervisor.work_aside import Preparation
from tracking.timings.spans import REPORT
from tracking.timings.stopwatch import Times, measure, time_thread


def test_the_owner_of_a_preparation_gets_its_error():
    """A disk that is full pauses a study wherever it is noticed."""

    def fill_the_disk():
        raise OSError("no room")

    preparation = Preparation(fill_the_disk)
    preparation.start()
    with pytest.raises(OSError, match="no room"):
        preparation.has_ended(10)


def test_a_preparation_ends_once_it_is_done():
    """Its owner may do something else between two looks."""
    is_done = threading.Event()
    preparation = Preparation(is_done.wait)
    preparation.start()
    assert not preparation.has_ended(0.01)
    is_done.set()
    assert preparation.has_ended(10)


def test_the_time_of_a_preparation_is_a_row_of_its_study():
    """The supervisor's own time goes on beside it."""

    def draw():
        with measure("pictures"):
            time.sleep(0.03)

    times = Times(time.time())
    with time_thread(times, "supervisor"), measure("waiting"):
        preparation = Preparation(draw)
        preparation.start()
        assert preparation.has_ended(10)
    assert {(span.row, span.name) for span in times.take()} == {("supervisor", "waiting"), (REPORT, "pictures")}
