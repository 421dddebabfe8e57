"""An engine for a client's request ends its jobs at a time limit and with the service."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.engines.base import Job, JobFunction
from pipelines.engines.local_engine import LocalEngine
from pipelines.service.supervisors.bounded_engine import BoundedEngine
from search_spaces.errors import KerastudyError


def test_jobs_end_with_the_service():
    """An export does not hold up the service's end."""
    stopped = threading.Event()
    with closing(BoundedEngine(60, stopped)) as engine:
        assert engine.events(0) == []
        stopped.set()
        with pytest.raises(KerastudyError, match="this service is stopping"):
            engine.events(0)


def test_jobs_end_when_their_client_has_gone():
    """Nobody waits for the result; the next request on the same engine starts anew."""
    left = threading.Event()
    with closing(BoundedEngine(60, threading.Event(), left=left)) as engine:
        assert engine.events(0) == []
        left.set()
        with pytest.raises(KerastudyError, match="the client has gone"):
            engine.events(0)
        engine.begin_request(60)
        assert engine.events(0) == []


def test_an_idle_worker_is_measured():
    """Without one there is nothing to keep."""
    with closing(BoundedEngine(60, threading.Event())) as engine:
        assert engine.measure_idle_bytes() == 0
        engine._free.append(SimpleNamespace(process=SimpleNamespace(pid=os.getpid()), end=lambda: None))
        assert engine.measure_idle_bytes() > 1_000_000


def test_jobs_end_at_the_time_limit():
    """The limit is for all jobs of a request together."""
    engine = BoundedEngine(0, threading.Event())
    with closing(engine), pytest.raises(KerastudyError, match="took longer than the 0 s that are allowed here"):
        engine.events(0)


def test_jobs_have_the_limit_of_memory(monkeypatch):
    """One that has a limit of its own keeps it."""
    submitted = []
    monkeypatch.setattr(LocalEngine, "submit", lambda self, job: submitted.append(job.memory_bytes))
    with closing(BoundedEngine(60, threading.Event(), 1000)) as engine:
        for own in (None, 500):
            engine.submit(Job("a", JobFunction("pipelines.nowhere:run"), None, Path("a.log"), memory_bytes=own))
    assert submitted == [1000, 500]
