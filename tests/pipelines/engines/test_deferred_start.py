"""Start of a worker in a thread: taken when it is over, and ended where nobody wants it any more."""

from __future__ import annotations

import threading
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from pipelines.engines.base import Job, JobFunction
from pipelines.engines.deferred_start import DeferredStart
from search_spaces.errors import KerastudyError

JOB = Job("it", JobFunction("of:nothing"), None, Path("log"))


class Worker:
    """A worker that has started."""

    def __init__(self):
        self.ended = threading.Event()

    def end(self):
        self.ended.set()


def test_a_start_is_waited_for_like_a_message():
    """Its signal can be read once it is over, so that an engine waits for starts and workers at once."""
    goes_on, worker = threading.Event(), Worker()
    start = DeferredStart(JOB, lambda: goes_on.wait() and worker)
    assert wait([start.signal], timeout=0.0) == []
    assert not start.is_over
    goes_on.set()
    assert wait([start.signal], timeout=120.0) == [start.signal]
    assert start.is_over
    assert start.take() is worker


def test_a_worker_that_nobody_wants_ends_when_it_has_started():
    """A job may be stopped, and an engine closed, while the worker's server still imports."""
    goes_on, worker = threading.Event(), Worker()
    start = DeferredStart(JOB, lambda: goes_on.wait() and worker)
    start.drop()
    goes_on.set()
    assert worker.ended.wait(120.0)
    started = DeferredStart(JOB, Worker)
    wait([started.signal], timeout=120.0)
    started.drop()
    assert started.take().ended.is_set()


def test_an_error_of_the_start_is_raised_where_the_worker_is_taken():
    """An engine makes a failed job of it."""

    def fail():
        raise KerastudyError("no room")

    start = DeferredStart(JOB, fail)
    wait([start.signal], timeout=120.0)
    with pytest.raises(KerastudyError, match="no room"):
        start.take()
