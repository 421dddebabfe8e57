"""Worker on another machine: a local engine of one worker, driven from afar.

The job runs exactly as on the supervisor's machine, with the same limits and the same names for each bad end. Its
caller may lose an answer on the way and call again: jobs and events carry numbers, so that nothing happens twice.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pipelines.engines.base import Backend, Event, Failed, Job
from pipelines.engines.gpus.places import choose_gpus
from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.ray_messages import UNPOLLED_S, NodeSettings
from pipelines.engines.search_path import order_search_path
from pipelines.engines.warm.settings import SECONDS
from search_spaces.errors import KerastudyError

_TICK_S = 0.05  # chosen: longest delay of a job's start and of its stop; an answer has none
_POLL_S = 20.0
_KEPT_S = 10  # chosen: a worker that was lost is replaced within seconds


@dataclass(frozen=True)
class NodeDescription:
    """A worker's surroundings.

    Attributes:
        problem: why it can run no job; empty where it can.
        node: the cluster's name for its node.
    """

    host: str
    process: int
    problem: str
    node: str = ""


class NodeWorker:
    """Worker that runs one job, and any number of jobs aside.

    Args:
        settings: what the supervisor starts its workers with.
    """

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._problem = _find_problem(settings)
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._submitted: set[str] = set()  # those that were stopped before they came included
        self._answered: set[int] = set()
        self._events: list[tuple[int, Event]] = []
        self._count = 0
        self._changed = threading.Condition()
        self._polled_at = time.monotonic()
        if not self._problem:
            if settings.folder.is_dir():
                os.chdir(settings.folder)
            sys.path[:] = order_search_path([*sys.path, *(set(settings.search_path) - set(sys.path))])
            os.environ.update(settings.variables)
            os.environ[SECONDS] = _choose_kept_s()
            self._engine = LocalEngine(
                1,
                settings.programs,
                user_code=settings.user_code,
                threads=settings.threads,
                gpus=choose_gpus(settings.gpus),  # of those that Ray has set aside for this process
            )
            threading.Thread(target=self._work_or_end, daemon=True).start()

    def describe(self) -> NodeDescription:
        """Return where the worker runs, and whether it can."""
        return NodeDescription(socket.gethostname(), os.getpid(), self._problem)

    def warm(self, backend: Backend) -> None:
        """Prepare for jobs on a backend."""
        self._commands.put(lambda: self._warm(backend))

    def submit(self, job: Job[Any, Any]) -> None:
        """Start a job; do nothing where it has been submitted before."""
        if job.name not in self._submitted:
            self._submitted.add(job.name)
            self._commands.put(lambda: self._submit(job))

    def answer(self, job: str, request: int, message: Any) -> None:
        """Answer the request of that number; do nothing where it has been answered before."""
        if request not in self._answered:
            self._answered.add(request)
            self._engine.answer(job, message)  # at once: the engine's thread never writes to a job that waits

    def stop(self, job: str) -> None:
        """End a job at once, or keep it from starting: a call may overtake another one."""
        if job in self._submitted:
            self._commands.put(lambda: self._engine.stop(job))
        else:
            self._submitted.add(job)
            self._publish(Failed(job, "stopped", "stopped on request"))

    def poll(self, seen: int) -> Sequence[tuple[int, Event]]:
        """Return the numbered events after number `seen`; wait for the first one, for some seconds."""
        self._polled_at = time.monotonic()
        with self._changed:
            self._events = [(number, event) for number, event in self._events if number > seen]
            if not self._events:
                self._changed.wait(_POLL_S)
            return list(self._events)

    def close(self) -> None:
        """End every job and process; return when they have ended."""
        closed = threading.Event()

        def close() -> None:
            self._engine.close()
            closed.set()

        self._commands.put(close)
        closed.wait(_POLL_S)

    def _work_or_end(self) -> None:
        # Without its thread the worker would keep every job waiting; its end is noticed.
        try:
            self._work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _work(self) -> None:
        """Own the engine: no other thread changes its jobs."""
        while True:
            if not self._engine.busy:
                self._commands.get()()
            while not self._commands.empty():
                self._commands.get()()
            self._end_orphans()
            # Also after a stop, whose event is all that is left of the job.
            for event in self._engine.events(_TICK_S):
                self._publish(event)

    def _end_orphans(self) -> None:
        """End the jobs where nobody polls any more: their trials may have gone on elsewhere.

        Raises:
            TimeoutError: afterwards, which ends this process.
        """
        if time.monotonic() - self._polled_at > UNPOLLED_S:
            self._engine.close()
            raise TimeoutError(f"nobody has polled this worker for {UNPOLLED_S:g} s: its supervisor has lost it")

    def _warm(self, backend: Backend) -> None:
        with suppress(KerastudyError):  # a backend that is missing here fails the first job that needs it
            self._engine.warm(backend)

    def _submit(self, job: Job[Any, Any]) -> None:
        # The loop of the engine must go on: its other jobs are running.
        try:
            self._engine.submit(job)
        except Exception as error:
            self._publish(Failed(job.name, "error", str(error), traceback.format_exc()))

    def _publish(self, event: Event) -> None:
        with self._changed:
            self._count += 1
            self._events.append((self._count, event))
            self._changed.notify_all()


def _choose_kept_s() -> str:
    """Return how long the servers that workers are forked from outlive this process: those of a machine share them."""
    return "0" if os.environ.get(SECONDS, "").strip() == "0" else str(_KEPT_S)


def _find_problem(settings: NodeSettings) -> str:
    """Return why this machine cannot run the supervisor's jobs; empty where it can."""
    installed = version("kerastudy")
    if installed != settings.version:
        return f"kerastudy {installed} is installed there, and {settings.version} here: install the same version"
    if not settings.home.is_dir():
        return (
            f"the home {settings.home} cannot be seen there: put it on storage that every node mounts at the same path"
        )
    if not os.access(settings.home, os.W_OK):
        return f"the home {settings.home} cannot be written there: give the nodes' user the right to"
    return ""
