"""Engine of workers on the nodes of a Ray cluster, as a supervisor sees it.

A separate process is connected to the cluster (`ray_cluster`): Ray ends that process when the cluster's head is lost.
"""

from __future__ import annotations

import importlib.util
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.engines.base import Backend, EngineLostError, Event, Failed, Finished, Job, Layout
from pipelines.engines.fork_server import ForkedProcess
from pipelines.engines.job_times import JobTimes
from pipelines.engines.ray_messages import (
    UNPOLLED_S,
    Answer,
    Capacity,
    Close,
    ClusterSettings,
    Command,
    Happened,
    Notice,
    Refused,
    Stop,
    Submit,
    Waiting,
    Warm,
)
from search_spaces.errors import KerastudyError

_START_S = 60.0  # chosen: until a cluster answers
_ROOM_S = 600.0  # chosen: a cluster that grows by itself starts machines meanwhile
_ALONE_S = 60.0  # chosen: without a worker for as long, all of them are lost; one that died is replaced sooner
_STOP_S = 30.0  # longer, and the node is lost: Ray ends its jobs
_CLOSE_S = 15.0
_KEPT_ALIVE_S = 0.5
_ORPHANED_S = UNPOLLED_S + 5.0
_HOSTS = 5  # that are named
_MODE = "RAY_AUTH_MODE"
_TOKEN_VARIABLES = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
_TOKEN = Path("~/.ray/auth_token")


class _TokenWantedError(EngineLostError):
    """A cluster refused the connection for want of a token."""


@dataclass
class _Running:
    """A job that a worker has."""

    job: Job[Any, Any]
    is_stopped: bool = False


class RayEngine:
    """Workers on the nodes of a Ray cluster; see `base.Engine`.

    Args:
        settings: the cluster, and what each worker gets.
        note: takes lines for people, such as why the first worker does not start yet.
        while_waiting: called about twice a second until the first worker has started; what it raises ends the wait.

    Raises:
        KerastudyError: if Ray is not installed.
        EngineLostError: if the cluster cannot be reached, or a node cannot run jobs.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        note: Callable[[str], None] = lambda line: None,
        while_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise KerastudyError('Ray is not installed: pip install "kerastudy[ray]"')
        self._settings = settings
        self._capacity = Capacity(0, settings.workers or 1, (), 0)
        self._running: dict[str, _Running] = {}
        self._pending: list[Event] = []
        self._numbers = itertools.count(1)
        self._times = JobTimes()
        self._backends: list[Backend] = []
        self._lost_at: float | None = None
        self._alone_since: float | None = None
        self._no_room = ""
        self._connect(note, while_waiting)

    @property
    def workers(self) -> int:
        """Number of jobs that can run at once, when every node has started."""
        return self._capacity.wanted

    @property
    def idle(self) -> int:
        """Number of jobs that can be submitted right now."""
        return self._capacity.ready - sum(1 for each in self._running.values() if not each.job.aside)

    @property
    def busy(self) -> Sequence[str]:
        """Names of the running jobs."""
        return tuple(each.job.name for each in self._running.values() if not each.is_stopped)

    @property
    def worker_memory_bytes(self) -> int:
        """Memory that each worker may hold: what Ray sets aside for it, or its share of the smallest node."""
        return self._capacity.memory_bytes

    @property
    def layout(self) -> Layout:
        """The cluster and its workers."""
        where = f"at {self._settings.address}" if self._settings.address else "started on this machine"
        ready, wanted = self._capacity.ready, self._capacity.wanted
        workers = f"{ready} of {wanted} workers" if ready < wanted else "1 worker" if ready == 1 else f"{ready} workers"
        hosts = ", ".join(self._capacity.nodes[:_HOSTS]) + (", ..." if len(self._capacity.nodes) > _HOSTS else "")
        gpus = f", {self._settings.gpus:g} GPUs each" if self._settings.gpus else ""
        unused = "".join(f"; not used: {problem}" for problem in self._capacity.problems[:_HOSTS])
        cores = "1 core" if self._settings.cpus == 1 else f"{self._settings.cpus} cores"
        return Layout(f"Ray {where}: {workers} of {cores}{gpus} (resources), on {hosts}{unused}")

    def warm(self, backend: Backend) -> None:
        """Prepare the workers for jobs on a backend; return at once."""
        self._backends = [*(each for each in self._backends if each != backend), backend]
        self._send(Warm(backend))

    def submit(self, job: Job[Any, Any]) -> None:
        """Start a job on a free worker.

        Raises:
            EngineLostError: if the cluster is gone.
        """
        key = f"{job.name}#{next(self._numbers)}"
        self._running[key] = _Running(job)
        self._times.start(job)
        self._send(Submit(replace(job, name=key)))

    def answer(self, job: str, message: Any) -> None:
        """Answer a job's request; do nothing if the job has ended since."""
        if (key := self._find(job)) is not None:
            self._send(Answer(key, message))

    def stop(self, job: str) -> None:
        """End a job; return when its processes have ended, or its node does not answer."""
        if (key := self._find(job)) is None:
            return
        self._running[key].is_stopped = True
        self._pending.append(Failed(job, "stopped", "stopped on request"))
        try:
            self._send(Stop(key))
            deadline = time.monotonic() + _STOP_S
            while key in self._running and (left_s := deadline - time.monotonic()) > 0:
                self._pending += self._receive(left_s)
        except EngineLostError:
            return  # and the job with it; the next call of `events` raises it

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return new events; wait up to `timeout_s` for the first one.

        Raises:
            EngineLostError: if the cluster is gone, or has had no worker for a minute.
        """
        events, self._pending = self._pending, []
        deadline = time.monotonic() + timeout_s
        with self._times.wait():
            events += self._receive(0.0 if events else timeout_s)
            while not events and time.monotonic() < deadline:
                events += self._receive(deadline - time.monotonic())
        if self._alone_since is not None and time.monotonic() - self._alone_since > _ALONE_S and not events:
            raise EngineLostError(f"the Ray cluster has no worker left{self._no_room and ': '}{self._no_room}")
        self._times.record(events)
        return events

    def restart(self, note: Callable[[str], None], while_waiting: Callable[[], None]) -> None:
        """Connect again after the cluster was lost; start Ray again where it was started on this machine.

        Workers of the lost cluster may not know of that yet: they end their jobs by themselves when nobody has polled
        them for a while, and no job starts before.

        Raises:
            EngineLostError: if the cluster cannot be reached, or no worker of it can run jobs yet.
        """
        self._lost_at = self._lost_at or time.monotonic()
        self._close_link()
        self._times.close()
        self._running.clear()
        self._pending.clear()
        self._capacity = Capacity(0, self._settings.workers or 1, (), 0)
        self._alone_since, self._no_room = None, ""
        while time.monotonic() < self._lost_at + _ORPHANED_S:
            while_waiting()
            time.sleep(_KEPT_ALIVE_S)
        self._connect(note, while_waiting)
        self._lost_at = None
        for backend in self._backends:
            self.warm(backend)

    def close(self) -> None:
        """End every worker."""
        self._times.close()
        self._close_link()
        self._running.clear()

    def _connect(self, note: Callable[[str], None], while_waiting: Callable[[], None]) -> None:
        """Start the process that is connected to the cluster, and wait for the first worker.

        The token of the user's folder is sent to a cluster that has refused to do without: Ray writes that file for
        clusters of this machine, and one that takes no token does not answer to it.
        """
        try:
            self._start_link(sends_token=bool(_TOKEN_VARIABLES & set(os.environ)))
            self._wait_for_worker(note, while_waiting)
        except _TokenWantedError:
            self._close_link()
            if _MODE in os.environ or not _TOKEN.expanduser().exists():
                raise
            self._connect_with_token(note, while_waiting)
        except BaseException:
            self._close_link()
            raise

    def _connect_with_token(self, note: Callable[[str], None], while_waiting: Callable[[], None]) -> None:
        try:
            self._start_link(sends_token=True)
            self._wait_for_worker(note, while_waiting)
        except BaseException:
            self._close_link()
            raise

    def _start_link(self, *, sends_token: bool) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        # Imported there only: this process does without Ray.
        self._process = ForkedProcess("pipelines.engines.base", _run_link, (theirs, self._settings, sends_token))
        self._process.start()
        theirs.close()

    def _close_link(self) -> None:
        with suppress(OSError):  # it may have ended
            self._connection.send(Close())
        self._process.join(_CLOSE_S)
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _wait_for_worker(self, note: Callable[[str], None], while_waiting: Callable[[], None]) -> None:
        started = time.monotonic()
        limit_s = _START_S
        while not self._capacity.ready:
            while_waiting()
            for notice in self._read(_KEPT_ALIVE_S):
                if isinstance(notice, Waiting):
                    if self._settings.address is None:  # this machine gets no larger
                        raise EngineLostError(notice.reason)
                    limit_s = _ROOM_S
                    note(f"{notice.reason}; waiting up to {_ROOM_S / 60:g} minutes for one that has")
                self._take(notice)
            if time.monotonic() - started > limit_s:
                raise EngineLostError(
                    f"no worker has started on the Ray cluster within {limit_s:g} s: it does not answer, or is busy "
                    f"with other work; what Ray printed is in {self._settings.log}"
                )

    def _find(self, job: str) -> str | None:
        return next((key for key, each in self._running.items() if each.job.name == job and not each.is_stopped), None)

    def _send(self, command: Command) -> None:
        try:
            self._connection.send(command)
        except OSError as error:
            raise self._explain_loss() from error

    def _receive(self, timeout_s: float) -> list[Event]:
        events = [self._take(notice) for notice in self._read(timeout_s)]
        return [event for event in events if event is not None]

    def _read(self, timeout_s: float) -> Iterator[Notice]:
        """Yield what the link has sent, after a wait for the first."""
        try:
            if self._connection.poll(timeout_s):
                yield self._connection.recv()
                while self._connection.poll():
                    yield self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._explain_loss() from error

    def _take(self, notice: Notice) -> Event | None:
        """Take note of a notice; return the event that it carries."""
        if isinstance(notice, Capacity):
            self._capacity = notice
            self._note_workers(notice.ready)
        elif isinstance(notice, Waiting):
            self._no_room = notice.reason
        elif isinstance(notice, Refused):
            raise (_TokenWantedError if notice.needs_token else EngineLostError)(notice.reason)
        elif isinstance(notice, Happened):
            return self._take_event(notice.event)
        else:
            raise EngineLostError(f"the Ray cluster was lost: {notice.reason}")
        return None

    def _note_workers(self, ready: int) -> None:
        """Take note of when the last worker was lost."""
        if ready:
            self._alone_since, self._no_room = None, ""
        elif self._alone_since is None:
            self._alone_since = time.monotonic()

    def _take_event(self, event: Event) -> Event | None:
        running = self._running.get(event.job)
        if running is None:
            return None
        if isinstance(event, Finished | Failed):
            del self._running[event.job]
        return None if running.is_stopped else replace(event, job=running.job.name)

    def _explain_loss(self) -> EngineLostError:
        return EngineLostError(
            "the Ray cluster was lost: its head cannot be reached; what Ray printed is in " + str(self._settings.log)
        )


def _run_link(connection: Any, settings: ClusterSettings, sends_token: bool) -> None:
    if sends_token:
        os.environ.setdefault(_MODE, "token")  # before Ray's import, which reads it
    from pipelines.engines.ray_cluster import run_link

    run_link(connection, settings)
