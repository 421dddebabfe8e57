"""Engine of worker processes on this machine.

Workers come from a fork server that has imported Keras and its backend: the first starts within three to five seconds,
each further one within one. There is a server for each backend, and workers of one never run jobs of another.

With GPUs, each worker runs in a place (`gpus.places`), which decides what its process sees; without, nothing of this
takes part.

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil

from pipelines.engines.base import Backend, Event, Failed, FailureKind, Finished, Job, Layout, Reported, Requested
from pipelines.engines.deferred_start import DeferredStart
from pipelines.engines.fork_server import ForkedProcess, start_server
from pipelines.engines.gpus.places import GpuChoice, GpuPlaces, make_cpu_environment
from pipelines.engines.gpus.visible import VARIABLE
from pipelines.engines.job_times import STARTING, JobTimes
from pipelines.engines.local_worker import WorkerSettings, serve
from pipelines.engines.worker_process import WorkerProcess
from search_spaces.errors import KerastudyError
from tracking.timings.stopwatch import measure

_STARTS = 5  # chosen; attempts to start a worker whose server was killed
_SHARE_OF_MEMORY = 0.9  # chosen: the rest is for the supervisor and the system
_CHECK_EVERY_S = 0.5  # each check reads the memory of every busy worker from /proc
_JAX_ON_GPU = ("JAX", "jax[cuda13]")


def cores() -> int:
    """Return the number of cores that this process may use, the default number of workers."""
    # `cpu_count` includes cores that a cpuset or `taskset` takes away.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalEngine:
    """Worker processes on this machine; see `base.Engine`.

    Args:
        workers: number of jobs that run at once, over all backends; when None, as many as the GPUs have room for, or
            the number of cores.
        cache: folder of JAX's compiled programs, for later studies; None keeps none.
        user_code: whether jobs run user models, which may need any part of Keras.
        threads: of each worker's arithmetic; its share of the cores when None.
        gpus: GPUs of its workers; by default they see what this process sees.
    """

    def __init__(
        self,
        workers: int | None = None,
        cache: Path | None = None,
        *,
        user_code: bool = True,
        threads: int | None = None,
        gpus: GpuChoice | None = None,
    ) -> None:
        self._requested = workers
        self._cache = cache
        self._user_code = user_code
        self._threads = threads
        self._gpus = gpus or GpuChoice()
        self._free: list[WorkerProcess] = []
        self._busy: dict[str, WorkerProcess] = {}
        self._starting: dict[str, DeferredStart] = {}
        self._pending: list[Event] = []
        self._checked_at = 0.0
        self._temporary: Path | None = None
        self._times = JobTimes()

    @property
    def workers(self) -> int:
        """Number of jobs that can run at once."""
        if (places := self._gpus.places) is None:
            return self._requested or cores()
        return min(self._requested or places.room, places.room)

    @property
    def threads(self) -> int:
        """Number of threads of a worker's arithmetic."""
        return self._threads or max(1, cores() // self.workers)

    @property
    def layout(self) -> Layout:
        """GPUs of its workers."""
        places = self._gpus.places
        return Layout(self._gpus.text) if places is None else Layout(places.describe(), places.share_bytes)

    @property
    def places(self) -> GpuPlaces | None:
        """Places of its workers on GPUs; None on the CPU."""
        return self._gpus.places

    def use_cpu(self, text: str) -> None:
        """Run every further job on the CPU, and state the reason in the layout."""
        self._gpus = GpuChoice(hides=True, text=text)
        self._end_free()

    def share_gpus(self, trial_bytes: int) -> None:
        """Set how many trials run on a GPU at once, by the predicted memory of the largest one; 0 is unknown."""
        if self._gpus.places is not None:
            self._gpus.places.share(trial_bytes, cores())
            self._end_free()  # another number of workers has other threads

    @property
    def idle(self) -> int:
        """Number of jobs that can be submitted right now."""
        jobs = [*(worker.job for worker in self._busy.values()), *(start.job for start in self._starting.values())]
        return self.workers - sum(job is not None and not job.aside for job in jobs)

    @property
    def busy(self) -> Sequence[str]:
        """Names of the running jobs."""
        return (*self._busy, *self._starting)

    @property
    def worker_memory_bytes(self) -> int:
        """Memory that each worker may hold: its share of the machine's, less what the system needs."""
        return int(psutil.virtual_memory().total * _SHARE_OF_MEMORY / self.workers)

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

        A new one starts in a thread where its server may still be loading its backend, for seconds.

        Raises:
            KerastudyError: if the backend is not installed, or the temporary folder cannot be used.
        """
        self._times.start(job)
        place = None if job.aside or job.backend in ("numpy", "none") else self._choose_place(job)
        is_new = job.fresh or job.aside
        # A fleet is submitted when its server has loaded, and a worker with a GPU may have to end another first.
        may_wait = job.aside or (place is None and job.backend != "jax")
        if may_wait and (is_new or self._find_free(job, place) is None):
            self.warm(job.backend)
            self._starting[job.name] = DeferredStart(job, partial(self._start, job, None))
            return
        with measure(STARTING):
            worker = self._start(job, place) if is_new else self._take(job, place)
        try:
            worker.connection.send(job)
        except OSError:  # it died between two jobs
            worker.end()
            worker = self._start(job, place)
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
        elif job in self._starting:
            self._starting.pop(job).drop()
            self._pending.append(Failed(job, "stopped", "stopped on request"))

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return new events; wait up to `timeout_s` for the first one."""
        with self._times.wait():
            events = self._collect_events(timeout_s)
        self._times.record(events)
        return events

    def _collect_events(self, timeout_s: float) -> Sequence[Event]:
        deadline = time.monotonic() + timeout_s
        while True:
            self._enforce_limits()
            self._begin_started()
            events, self._pending = self._pending, []
            left_s = max(0.0, deadline - time.monotonic())
            by_connection = {worker.connection: name for name, worker in self._busy.items()}
            wait_s = 0.0 if events else min(left_s, _CHECK_EVERY_S)
            waited = [*by_connection, *(start.signal for start in self._starting.values())]
            for ready in wait(waited, timeout=wait_s) if waited else self._sleep(wait_s):
                name = by_connection.get(ready)  # type: ignore[arg-type]  # only ours are waited on
                if name is not None and (event := self._receive(name)) is not None:
                    events.append(event)
            if events or time.monotonic() >= deadline:
                return events

    def restart(self, note: Callable[[str], None], while_waiting: Callable[[], None]) -> None:
        """Do nothing: this machine's processes are never lost together."""

    def close(self) -> None:
        """End every worker."""
        self._times.close()
        for start in self._starting.values():
            start.drop()
        self._starting.clear()
        for worker in [*self._busy.values(), *self._free]:
            worker.end()
        self._busy.clear()
        self._free.clear()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _begin_started(self) -> None:
        """Begin the jobs whose workers have started in a thread."""
        for name, start in [(name, start) for name, start in self._starting.items() if start.is_over]:
            del self._starting[name]
            try:
                worker = start.take()
                worker.connection.send(start.job)
            except (KerastudyError, OSError) as error:
                kind: FailureKind = "error" if isinstance(error, KerastudyError) else "died"
                self._pending.append(Failed(name, kind, f"its worker did not start: {error}"))
                continue
            worker.start_job(start.job)
            self._busy[name] = worker

    def _sleep(self, seconds: float) -> list[Any]:
        time.sleep(seconds)
        return []

    def _choose_place(self, job: Job[Any, Any]) -> int | None:
        """Return the place with the most room, of equals one with a free worker; None on the CPU."""
        if (places := self._gpus.places) is None:
            return None
        left = [place.room - self._count_busy(index) for index, place in enumerate(places.places)]
        has_free = {worker.place for worker in self._free if worker.backend == job.backend}
        return max(range(len(left)), key=lambda index: (left[index], index in has_free))

    def _count_busy(self, place: int) -> int:
        return sum(worker.place == place for worker in self._busy.values())

    def _take(self, job: Job[Any, Any], place: int | None) -> WorkerProcess:
        if (worker := self._find_free(job, place)) is None:
            return self._start(job, place)
        self._free.remove(worker)
        return worker

    def _find_free(self, job: Job[Any, Any], place: int | None) -> WorkerProcess | None:
        wanted = (job.backend, job.devices, place)
        return next((each for each in self._free if (each.backend, each.devices, each.place) == wanted), None)

    def _start(self, job: Job[Any, Any], place: int | None) -> WorkerProcess:
        _check_installed(job.backend)
        if place is not None:
            self._end_free(place)
        # TensorFlow removes its temporary files at a normal exit, and workers are killed.
        self._temporary = self._temporary or Path(tempfile.mkdtemp(prefix="kerastudy-workers-"))
        setting = WorkerSettings(
            job.backend,
            self._choose_preload(job.backend),
            self.threads,
            Path.cwd(),
            self._temporary,
            self._cache,
            self._make_environment(place),
            gpus=0 if place is None or self._gpus.places is None else len(self._gpus.places.places[place].gpus),
            devices=job.devices,
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
            return WorkerProcess(process, ours, job.backend, place, job.devices)
        raise KerastudyError(f"the process that workers are forked from was killed {_STARTS} times")

    def _end_free(self, place: int | None = None) -> None:
        """End the workers without a job, in one place or all: they keep the memory of the GPU that they once needed."""
        for worker in [worker for worker in self._free if place is None or worker.place == place]:
            self._free.remove(worker)
            worker.end()

    def _make_environment(self, place: int | None) -> dict[str, str]:
        """Return the variables that decide which GPUs a worker sees; none where it sees what this process sees."""
        places = self._gpus.places
        if places is None or place is None:
            return make_cpu_environment() if places is not None or self._gpus.hides else {}
        wanted = places.places[place].make_environment()
        # What the environment of a study sets itself stays.
        return {name: os.environ.get(name, value) if name != VARIABLE else value for name, value in wanted.items()}

    def _choose_preload(self, backend: Backend) -> str:
        """Return the module that imports a backend for its workers."""
        whole = "_whole" if backend in ("tensorflow", "jax") and self._user_code else ""
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
        if kind == "gpus":
            self._check_gpus(worker, content)
            return None
        if kind == "spans":
            worker.spans = content
            return None
        if kind == "report":
            return Reported(name, content)
        if kind == "request":
            worker.awaits_answer = True
            return Requested(name, content)
        failed = None if kind == "finished" else replace(Failed(name, *content), spans=worker.spans)
        self._release(name, is_spoilt=failed is not None and failed.kind == "memory")
        if failed is not None and failed.of_device and worker.place is not None:
            return self._reduce_place(worker, failed)
        return failed or Finished(name, content, worker.spans)

    def _check_gpus(self, worker: WorkerProcess, found: int) -> None:
        """Compare the GPUs that a worker's backend found with those of its place.

        Raises:
            KerastudyError: if it lacks some that the study file sets.
        """
        places = self._gpus.places
        if places is None or worker.place is None or found >= (expected := len(places.places[worker.place].gpus)):
            return
        name, extra = ("TensorFlow", "tensorflow[and-cuda]") if worker.backend == "tensorflow" else _JAX_ON_GPU
        missing = f"{name} finds {found} of the {expected} GPUs of its worker"
        fleets = " or resources.fleet: off" if worker.backend == "jax" else ""
        advice = f'pip install "{extra}", or set resources.gpus: 0{fleets}'
        if places.is_chosen or worker.backend == "jax":
            raise KerastudyError(f"{missing}: its CUDA libraries are missing or do not fit the driver; {advice}")
        self.use_cpu(f"{places.describe_gpus()} found, none is used: {missing}; {advice}")

    def _reduce_place(self, worker: WorkerProcess, failed: Failed) -> Failed:
        """Run fewer trials where a GPU had no memory left, and add that to the reason."""
        if self._gpus.places is None or worker.place is None:
            return failed
        self._end_free(worker.place)
        reduced = self._gpus.places.reduce(worker.place)
        return replace(failed, reason=f"{failed.reason}; {reduced}") if reduced else failed

    def _release(self, name: str, *, is_spoilt: bool) -> None:
        worker = self._busy.pop(name)
        worker.jobs_done += 1
        is_misplaced = worker.place is not None and self._gpus.places is None
        is_used_up = is_spoilt or is_misplaced or worker.needs_recycling or worker.is_aside
        if is_used_up or (worker.job is not None and worker.job.fresh):
            worker.end()
        else:
            self._free.append(worker)

    def _handle_death(self, name: str) -> Failed:
        worker = self._busy.pop(name)
        worker.end()
        limit = None if worker.job is None else worker.job.memory_bytes
        return Failed(name, "died", _describe_exit(worker.process.exitcode, limit))

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


def _check_installed(backend: Backend) -> None:
    # Keras's NumPy backend imports JAX too.
    if backend in ("jax", "numpy") and importlib.util.find_spec("jax") is None:
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


def _describe_exit(exit_code: int | None, memory_bytes: int | None) -> str:
    if exit_code is None:
        return "the worker process ended without an exit code"
    if exit_code >= 0:
        return f"the worker process exited with status {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    hint = "; most likely the system was out of memory" if -exit_code == signal.SIGKILL else ""
    # A library that gets no memory may use what it did not get.
    if memory_bytes is not None and -exit_code in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS):
        hint = f"; it may have needed more than its {memory_bytes / 1e6:,.0f} MB of memory (limits.memory)"
    return f"the worker process was killed by {name}{hint}"
