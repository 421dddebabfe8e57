"""Interface between a supervisor and the engine that runs its jobs.

A job names a function and carries one plain value; the function runs in a worker and sends messages through its
`Channel`. An engine contains no training, and a worker has no access to databases or MLflow, so that a worker can be
killed at any moment without anything else to repair.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from search_spaces.errors import KerastudyError
from tracking.timings.spans import Span

Backend = Literal["tensorflow", "jax", "numpy", "none"]
FailureKind = Literal["input", "error", "died", "time", "stall", "memory", "disk", "stopped"]

Payload = TypeVar("Payload")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


@dataclass(frozen=True)
class JobFunction(Generic[Payload, Result_co]):
    """A function that workers call as `function(payload, channel)`, with the types of its payload and its result.

    Only the path is stored: the module is imported in the worker, so that a supervisor never imports Keras.

    Attributes:
        path: `package.module:function`.
        activity: what it does, as the timeline of a study has it.
    """

    path: str
    activity: str = "other jobs"

    def load(self) -> Callable[[Payload, Channel], Result]:
        """Import the module and return the function."""
        module, _, name = self.path.partition(":")
        function: Callable[[Payload, Channel], Result] = getattr(importlib.import_module(module), name)
        return function


@dataclass(frozen=True)
class Job(Generic[Payload, Result_co]):
    """Work for one worker.

    Attributes:
        name: unique among the running jobs.
        function: called in the worker.
        payload: picklable plain values.
        log: file that takes everything the job prints; appended to.
        time_s: longest time it may take; None for no limit.
        stall_s: longest silence; None for no limit. `Channel.beat`, `report` and `request` break the silence.
        memory_bytes: most memory the worker may hold; None for no limit.
        backend: Keras's backend in its worker; TensorFlow is loaded for its own alone. On NumPy nothing is compiled:
            such a worker writes and applies small models, and trains none. With "none" it never loads Keras.
        fresh: whether its worker runs this job and no other.
        aside: whether it runs beside the other jobs at a low priority, in a worker that `Engine.idle` does not count.
        devices: devices that it trains on: without GPUs, its worker's CPU is divided into as many.
        data: folder that it only reads; an engine with workers elsewhere may give them a copy.
        data_copy: that copy, set by the engine.
    """

    name: str
    function: JobFunction[Payload, Result_co]
    payload: Payload
    log: Path
    time_s: float | None = None
    stall_s: float | None = None
    memory_bytes: int | None = None
    backend: Backend = "tensorflow"
    fresh: bool = False
    aside: bool = False
    devices: int = 1
    data: Path | None = None
    data_copy: Path | None = None


@dataclass(frozen=True)
class Reported:
    """A job sent a message and continues."""

    job: str
    message: Any


@dataclass(frozen=True)
class Requested:
    """A job sent a request, which `Engine.answer` answers."""

    job: str
    message: Any


@dataclass(frozen=True)
class Finished:
    """A job succeeded; `result` is the return value of its function, `spans` what its worker measured."""

    job: str
    result: Any
    spans: tuple[Span, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Failed:
    """A job failed, by an exception or by the end of its worker.

    Attributes:
        reason: one line for users.
        traceback: the worker's traceback; empty where the worker died.
        problems: `InputError.problems`, where the kind is `input`.
        of_device: whether the memory that it lacked is that of a GPU.
        spans: what its worker measured.
    """

    job: str
    kind: FailureKind
    reason: str
    traceback: str = ""
    problems: tuple[Any, ...] = ()
    of_device: bool = False
    spans: tuple[Span, ...] = field(default=(), compare=False)


Event = Reported | Requested | Finished | Failed


class EngineLostError(KerastudyError):
    """What an engine runs its jobs on is gone, such as the head of a cluster; no job of it can report any more."""


class Channel(Protocol):
    """Connection of a job to the supervisor."""

    def beat(self) -> None:
        """Send a sign of life; cheap enough to call after every batch."""

    def report(self, message: Any) -> None:
        """Send a message and continue."""

    def request(self, message: Any) -> Any:
        """Send a request and wait for its answer."""

    def begin_request(self, message: Any) -> None:
        """Send a request and continue; `receive_answer` comes before the next one."""

    def receive_answer(self) -> Any:
        """Wait for the answer to the request that was begun."""


@dataclass(frozen=True)
class Layout:
    """Layout of an engine's workers on its machines' GPUs.

    Attributes:
        text: it in a line; empty where there is nothing to state.
        gpu_bytes: memory of a worker on each of its GPUs; None on the CPU.
    """

    text: str = ""
    gpu_bytes: int | None = None


class Engine(Protocol):
    """Runs jobs, at most `workers` at a time."""

    @property
    def workers(self) -> int:
        """Number of jobs that can run at once."""

    @property
    def layout(self) -> Layout:
        """GPUs of its workers."""

    @property
    def idle(self) -> int:
        """Number of jobs that can be submitted right now."""

    @property
    def busy(self) -> Sequence[str]:
        """Names of the running jobs."""

    @property
    def worker_memory_bytes(self) -> int:
        """Memory that each worker may hold, where a study sets no limit."""

    def warm(self, backend: Backend) -> None:
        """Prepare for jobs on a backend, so that the first one starts sooner; return at once."""

    def submit(self, job: Job[Any, Any]) -> None:
        """Start a job; call only while `idle` is above zero, or for a job aside."""

    def answer(self, job: str, message: Any) -> None:
        """Answer a job's request; do nothing if the job has ended since."""

    def stop(self, job: str) -> None:
        """End a job at once; its `Failed` event has the kind `stopped`."""

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return new events; wait up to `timeout_s` for the first one.

        Raises:
            EngineLostError: if what the jobs ran on is gone, and they with it.
        """

    def restart(self, note: Callable[[str], None], while_waiting: Callable[[], None]) -> None:
        """Start anew after `EngineLostError`, with no job; return when the first worker has started.

        Args:
            note: takes lines for people, such as why no worker starts yet.
            while_waiting: called about twice a second; what it raises ends the wait.

        Raises:
            EngineLostError: if what the jobs run on is not back yet; a later call may find it.
        """

    def close(self) -> None:
        """End every worker."""
