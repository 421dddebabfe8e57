"""A worker process of the local engine and its state: its job, its clocks, the limits that it may break."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import psutil

from pipelines.engines.base import Backend, FailureKind, Job
from pipelines.engines.fork_server import ForkedProcess
from tracking.timings.spans import Span

_JOBS_PER_WORKER = 25  # about 200 MB of growth
_MOST_GROWTH_BYTES = 10**9  # chosen: room for compiled programs


@dataclass
class WorkerProcess:
    """A worker process and its state; `place` is the index of its place on the GPUs, None on the CPU."""

    process: ForkedProcess
    connection: Connection[Any, Any]
    backend: Backend
    place: int | None = None
    devices: int = 1
    jobs_done: int = 0
    size_bytes: int = 0
    job: Job[Any, Any] | None = None
    started_at: float = 0.0
    active_at: float = 0.0
    spans: tuple[Span, ...] = ()
    awaits_answer: bool = False  # the job is silent while the supervisor prepares an answer
    watch: psutil.Process | None = field(default=None)

    def start_job(self, job: Job[Any, Any]) -> None:
        """Set the job and start its clocks."""
        self.job = job
        self.started_at = self.active_at = time.monotonic()
        self.awaits_answer = False
        self.spans = ()

    @property
    def is_aside(self) -> bool:
        """Whether its job runs beside those that are counted."""
        return self.job is not None and self.job.aside

    @property
    def needs_recycling(self) -> bool:
        """Whether, after a job, another worker should get the next one."""
        if self.backend == "tensorflow":
            return self.jobs_done >= _JOBS_PER_WORKER
        # Measured after its first job, when it has loaded everything once.
        self.size_bytes = self.size_bytes or self._measure_resident_bytes()
        return self._measure_resident_bytes() > self.size_bytes + _MOST_GROWTH_BYTES

    def find_broken_limit(self, now: float) -> tuple[FailureKind, str] | None:
        """Return the kind and the reason of the failure if the job is over one of its limits."""
        job = self.job
        if job is None:
            return None
        if job.time_s is not None and now - self.started_at > job.time_s:
            return "time", f"over its time limit of {job.time_s:g} s"
        if job.stall_s is not None and not self.awaits_answer and now - self.active_at > job.stall_s:
            return "stall", f"no progress for {job.stall_s:g} s, assumed to hang"
        if job.memory_bytes is not None and (used := self._measure_resident_bytes()) > job.memory_bytes:
            return "memory", (
                f"over its memory limit: {used / 1e9:.2f} GB in use, {job.memory_bytes / 1e9:.2f} GB allowed"
            )
        return None

    def end(self) -> None:
        """Kill the process: no state in it is needed after a job."""
        self.connection.close()
        self.process.kill()
        self.process.join()

    def _measure_resident_bytes(self) -> int:
        try:
            self.watch = self.watch or psutil.Process(self.process.pid)
            held = self.watch.memory_info()
            # Files that are mapped into memory, such as prepared rows, can be dropped: they are not held.
            return int(held.rss - getattr(held, "shared", 0))
        except psutil.Error:
            return 0
