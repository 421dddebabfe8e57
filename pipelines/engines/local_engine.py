"""Engine of worker processes on this machine.

Workers come from a fork server that has imported Keras and its backend: the first starts within three to five seconds,
each further one within one. There is a server for each backend, and workers of one never run jobs of another.

A TensorFlow worker is replaced after a number of jobs, because a process that traces TensorFlow functions gains 7-8 MB
with every trial, even if Keras's session is cleared. A JAX worker stays until it has grown: it has compiled programs.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import psutil

from pipelines.engines.base import Backend, Event, Failed, FailureKind, Finished, Job, Reported, Requested
from pipelines.engines.fork_server import ForkedProcess, start_server
from pipelines.engines.local_worker import WorkerSettings, serve
from search_spaces.errors import KerastudyError

_JOBS_PER_WORKER = 25  # about 200 MB of growth
_STARTS = 5  # chosen; attempts to start a worker whose server was killed
_MOST_GROWTH_BYTES = 10**9  # chosen: room for compiled programs
_CHECK_EVERY_S = 0.5  # each check reads the memory of every busy worker from /proc


def cores() -> int:
    """Return the number of cores that this process may use, the default number of workers."""
    # `cpu_count` includes cores that a cpuset or `taskset` takes away.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalEngine:
    """Worker processes on this machine; see `base.Engine`.

    Args:
        workers: number of jobs that run at once, over all backends; the number of cores when None.
        cache: folder of JAX's compiled programs, for later studies; None keeps none.
        user_code: whether jobs run user models, which may need any part of Keras.
    """

    def __init__(self, workers: int | None = None, cache: Path | None = None, *, user_code: bool = True) -> None:
        self._size = workers or cores()
        self._threads = max(1, cores() // self._size)
        self._cache = cache
        self._user_code = user_code
        self._free: list[_Worker] = []
        self._busy: dict[str, _Worker] = {}
        self._pending: list[Event] = []
        self._checked_at = 0.0
        self._temporary: Path | None = None

    @property
    def workers(self) -> int:
        """Number of jobs that can run at once."""
        return self._size

    @property
    def idle(self) -> int:
        """Number of jobs that can be submitted right now."""
        return self._size - sum(1 for worker in self._busy.values() if not worker.is_aside)

    @property
    def busy(self) -> Sequence[str]:
        """Names of the running jobs."""
        return tuple(self._busy)

    def warm(self, backend: Backend) -> None:
        """Start the server that workers of a backend are forked from; return at once.

        Raises:
            KerastudyError: if the backend is not installed, or the temporary folder cannot be used.
        """
        _check_installed(backend)
        with _explain_socket_error():
            start_server(self._choose_preload(backend))

    def submit(self, job: Job[Any, Any]) -> None:
        """Start a job on a free worker of its backend, or on a new one.

        Raises:
            KerastudyError: if the backend is not installed, or the temporary folder cannot be used.
        """
        worker = self._start(job.backend) if job.fresh or job.aside else self._take(job.backend)
        try:
            worker.connection.send(job)
        except OSError:  # it died between two jobs
            worker.end()
            worker = self._start(job.backend)
            worker.connection.send(job)
        worker.start_job(job)
        self._busy[job.name] = worker

    def answer(self, job: str, message: Any) -> None:
        """Answer a job's request; do nothing if the job has ended since."""
        if worker := self._busy.get(job):
            worker.awaits_answer = False
            worker.active_at = time.monotonic()
            try:
                worker.connection.send(message)
            except OSError:
                return  # the job's `Failed` event follows

    def stop(self, job: str) -> None:
        """End a job at once by ending its worker."""
        if job in self._busy:
            self._kill(job, "stopped", "stopped on request")

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return new events; wait up to `timeout_s` for the first one."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._enforce_limits()
            events, self._pending = self._pending, []
            left_s = max(0.0, deadline - time.monotonic())
            by_connection = {worker.connection: name for name, worker in self._busy.items()}
            wait_s = 0.0 if events else min(left_s, _CHECK_EVERY_S)
            for ready in wait(list(by_connection), timeout=wait_s) if by_connection else self._sleep(wait_s):
                event = self._receive(by_connection[ready])  # type: ignore[index]  # only ours are waited on
                if event is not None:
                    events.append(event)
            if events or time.monotonic() >= deadline:
                return events

    def close(self) -> None:
        """End every worker."""
        for worker in [*self._busy.values(), *self._free]:
            worker.end()
        self._busy.clear()
        self._free.clear()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _sleep(self, seconds: float) -> list[Any]:
        time.sleep(seconds)
        return []

    def _take(self, backend: Backend) -> _Worker:
        for worker in self._free:
            if worker.backend == backend:
                self._free.remove(worker)
                return worker
        return self._start(backend)

    def _start(self, backend: Backend) -> _Worker:
        _check_installed(backend)
        # TensorFlow removes its temporary files at a normal exit, and workers are killed.
        self._temporary = self._temporary or Path(tempfile.mkdtemp(prefix="kerastudy-workers-"))
        setting = WorkerSettings(
            backend, self._choose_preload(backend), self._threads, Path.cwd(), self._temporary, self._cache
        )
        for _ in range(_STARTS):
            ours, theirs = multiprocessing.Pipe()
            process = ForkedProcess(setting.preload, serve, (theirs, setting))
            try:
                with _explain_socket_error():
                    process.start()
            except (EOFError, ConnectionError):  # its server was killed; the next `start` starts another one
                ours.close()
                time.sleep(_CHECK_EVERY_S)  # a server that is being killed still counts as running
                continue
            finally:
                # A copy of this end that stayed open would hide the worker's death.
                theirs.close()
            return _Worker(process, ours, backend)
        raise KerastudyError(f"the process that workers are forked from was killed {_STARTS} times")

    def _choose_preload(self, backend: Backend) -> str:
        """Return the module that imports a backend for its workers."""
        whole = "_whole" if backend == "tensorflow" and self._user_code else ""
        return f"pipelines.engines.preload.{backend}{whole}"

    def _receive(self, name: str) -> Event | None:
        worker = self._busy[name]
        try:
            kind, content = worker.connection.recv()
        except (EOFError, OSError):
            return self._handle_death(name)
        worker.active_at = time.monotonic()
        if kind == "beat":
            return None
        if kind == "report":
            return Reported(name, content)
        if kind == "request":
            worker.awaits_answer = True
            return Requested(name, content)
        failed = None if kind == "finished" else Failed(name, *content)
        self._release(name, is_spoilt=failed is not None and failed.kind == "memory")
        return failed or Finished(name, content)

    def _release(self, name: str, *, is_spoilt: bool) -> None:
        worker = self._busy.pop(name)
        worker.jobs_done += 1
        if is_spoilt or worker.needs_recycling or worker.is_aside or (worker.job is not None and worker.job.fresh):
            worker.end()
        else:
            self._free.append(worker)

    def _handle_death(self, name: str) -> Failed:
        worker = self._busy.pop(name)
        worker.end()
        return Failed(name, "died", _describe_exit(worker.process.exitcode))

    def _enforce_limits(self) -> None:
        """Kill workers that are over a limit of their job."""
        now = time.monotonic()
        if now - self._checked_at < _CHECK_EVERY_S:
            return
        self._checked_at = now
        for name, worker in list(self._busy.items()):
            if (broken := worker.find_broken_limit(now)) is not None:
                self._kill(name, *broken)

    def _kill(self, name: str, kind: FailureKind, reason: str) -> None:
        worker = self._busy.pop(name)
        worker.end()
        self._pending.append(Failed(name, kind, reason))


@dataclass
class _Worker:
    """A worker process and its state."""

    process: ForkedProcess
    connection: Connection[Any, Any]
    backend: Backend
    jobs_done: int = 0
    size_bytes: int = 0
    job: Job[Any, Any] | None = None
    started_at: float = 0.0
    active_at: float = 0.0
    awaits_answer: bool = False  # the job is silent while the supervisor prepares an answer
    watch: psutil.Process | None = field(default=None)

    def start_job(self, job: Job[Any, Any]) -> None:
        """Set the job and start its clocks."""
        self.job = job
        self.started_at = self.active_at = time.monotonic()
        self.awaits_answer = False

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


def _check_installed(backend: Backend) -> None:
    if backend == "jax" and importlib.util.find_spec("jax") is None:
        raise KerastudyError('jax is not installed: pip install "kerastudy[jax]"')


@contextmanager
def _explain_socket_error() -> Iterator[None]:
    """Name the setting to change where the server's socket cannot be created."""
    try:
        yield
    except OSError as error:
        if "AF_UNIX path too long" not in str(error):  # multiprocessing keeps its socket in the temporary folder
            raise
        folder = tempfile.gettempdir()
        raise KerastudyError(f"the temporary folder's path is too long: {folder}; set TMPDIR to another") from None


def _describe_exit(exit_code: int | None) -> str:
    if exit_code is None:
        return "the worker process ended without an exit code"
    if exit_code >= 0:
        return f"the worker process exited with status {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = "; most likely the system was out of memory" if -exit_code == signal.SIGKILL else ""
    return f"the worker process was killed by {name}{hint}"
