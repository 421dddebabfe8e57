"""An engine for a client's request ends its jobs at a time limit and with the service."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

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


def test_jobs_end_at_the_time_limit():
    """The limit is for all jobs of a request together."""
    engine = BoundedEngine(0, threading.Event())
    with closing(engine), pytest.raises(KerastudyError, match="took longer than the 0 s that are allowed here"):
        engine.events(0)
