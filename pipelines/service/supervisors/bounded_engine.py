"""Local engine whose jobs end at a time limit, when their client has gone, or when the service stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psutil

from pipelines.engines.base import Event, Job
from pipelines.engines.local_engine import LocalEngine
from search_spaces.errors import KerastudyError


class BoundedEngine(LocalEngine):
    """Local engine with one worker for a request of a client.

    Args:
        limit_s: seconds that all of its jobs may take together.
        stopped: set when the service stops.
        memory_bytes: most memory that the worker of a job may hold; None for no limit.
        left: set when the client has gone; None where nobody watches.
    """

    def __init__(
        self,
        limit_s: float,
        stopped: threading.Event,
        memory_bytes: int | None = None,
        left: threading.Event | None = None,
    ) -> None:
        super().__init__(1)
        self._memory_bytes = memory_bytes
        self._stopped = stopped
        self.begin_request(limit_s, left)

    def begin_request(self, limit_s: float, left: threading.Event | None = None) -> None:
        """Start the clock for a request of a client; see the class."""
        self._limit_s = limit_s
        self._deadline = time.monotonic() + limit_s
        self._left = left

    def measure_idle_bytes(self) -> int:
        """Return the memory that the worker without a job holds, but for mapped files; 0 if there is none."""
        total = 0
        for worker in self._free:
            try:
                held = psutil.Process(worker.process.pid).memory_info()
            except psutil.Error:  # it has ended
                return 0
            total += int(held.rss - getattr(held, "shared", 0))
        return total

    def submit(self, job: Job[Any, Any]) -> None:
        """Start a job within the limit of memory."""
        super().submit(replace(job, memory_bytes=job.memory_bytes or self._memory_bytes))

    # The one method that every wait for a job calls, several times a second: no further thread has to watch the clock.
    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return what happened, waiting up to `timeout_s` for the first event.

        Raises:
            KerastudyError: at the time limit, when the client has gone, or when the service stops. Whoever runs a job
                then ends it.
        """
        if self._stopped.is_set():
            raise KerastudyError("this service is stopping: send the request again after its next start")
        if self._left is not None and self._left.is_set():
            raise KerastudyError("the client has gone")
        if time.monotonic() > self._deadline:
            raise KerastudyError(f"took longer than the {self._limit_s:.0f} s that are allowed here")
        return super().events(timeout_s)
