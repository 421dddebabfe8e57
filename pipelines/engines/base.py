"""The seam between a supervisor and whatever runs its jobs.

A job names a function and carries one plain value; the function runs in a worker and may talk back through its
`Channel`. An engine knows nothing of training, and a worker nothing of databases or MLflow, so that a worker can be
killed at any moment without anything else to repair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Backend = Literal["tensorflow", "jax"]
FailureKind = Literal["input", "error", "died", "time", "stall", "memory", "disk", "stopped"]


@dataclass(frozen=True)
class Job:
    """Work for one worker.

    Attributes:
        name: unique among the jobs under way.
        function: `package.module:function`, called in the worker as `function(payload, channel)`.
        payload: picklable plain values.
        log: file that takes everything the job prints; appended to.
        time_s: longest time it may take; None for no limit.
        stall_s: longest silence; None for no limit. `Channel.beat`, `report` and `ask` break the silence.
        memory_bytes: most memory the worker may hold; None for no limit.
        backend: what Keras runs on in its worker; a worker for JAX never loads TensorFlow.
        fresh: whether its worker runs this job and no other.
    """

    name: str
    function: str
    payload: Any
    log: Path
    time_s: float | None = None
    stall_s: float | None = None
    memory_bytes: int | None = None
    backend: Backend = "tensorflow"
    fresh: bool = False


@dataclass(frozen=True)
class Reported:
    """A job said something and goes on."""

    job: str
    message: Any


@dataclass(frozen=True)
class Asked:
    """A job asked something and waits for `Engine.answer`."""

    job: str
    message: Any


@dataclass(frozen=True)
class Finished:
    """A job ended well; `result` is what its function returned."""

    job: str
    result: Any


@dataclass(frozen=True)
class Failed:
    """A job ended badly, by its own exception or by its worker's end.

    Attributes:
        reason: one line for a person.
        traceback: the worker's traceback; empty where the worker died.
        problems: what `InputError.problems` held, where the kind is `input`.
    """

    job: str
    kind: FailureKind
    reason: str
    traceback: str = ""
    problems: tuple[Any, ...] = ()


Event = Reported | Asked | Finished | Failed


class Channel(Protocol):
    """A job's line back to the supervisor."""

    def beat(self) -> None:
        """Say that work goes on; cheap enough to call after every batch."""

    def report(self, message: Any) -> None:
        """Send a message and go on."""

    def ask(self, message: Any) -> Any:
        """Send a message and wait for its answer."""


class Engine(Protocol):
    """Runs jobs, at most `workers` at a time."""

    @property
    def workers(self) -> int:
        """Number of jobs that can run at once."""

    @property
    def idle(self) -> int:
        """Number of jobs that can be submitted right now."""

    @property
    def busy(self) -> Sequence[str]:
        """Names of the jobs under way."""

    def warm(self, backend: Backend) -> None:
        """Prepare for jobs on a backend, so that the first one starts sooner; returns at once."""

    def submit(self, job: Job) -> None:
        """Start a job; call only while `idle` is above zero."""

    def answer(self, job: str, message: Any) -> None:
        """Answer what a job asked; a job that has ended since is no error."""

    def stop(self, job: str) -> None:
        """End a job at once; its `Failed` event says `stopped`."""

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return what happened, waiting up to `timeout_s` for the first event."""

    def close(self) -> None:
        """End every worker."""
