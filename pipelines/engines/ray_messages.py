"""Messages between a supervisor's Ray engine and the process that is connected to the cluster.

Jobs are named by an id that is never used twice, so that a late event of a stopped job belongs to no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.engines.base import Backend, Event, Job

UNPOLLED_S: Final = 45.0
"""Seconds after which a worker that nobody polls ends its jobs: its supervisor has lost the cluster, or is gone."""


@dataclass(frozen=True)
class NodeSettings:
    """What a worker on a node is started with.

    Attributes:
        version: kerastudy's version in the supervisor.
        home: the home of the studies, which every node must see.
        folder: working directory of the supervisor.
        search_path: its `sys.path`.
        threads: for the arithmetic of a job.
        gpus: that it has of those that Ray shows it.
        programs: folder of compiled programs; None keeps none.
        user_code: whether jobs run user models.
        variables: of the environment of its processes, besides those that the node was started with.
    """

    version: str
    home: Path
    folder: Path
    search_path: tuple[str, ...]
    threads: int
    gpus: float
    programs: Path | None
    user_code: bool
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ClusterSettings:
    """A Ray cluster and what its workers get.

    Attributes:
        address: `host:port` or `auto`; None starts Ray on this machine.
        workers: how many; None for as many as there is room for.
        cpus: of each worker.
        memory: bytes that Ray sets aside for each worker; None for no bound.
        log: file that takes what Ray prints.
        node: what each worker is started with.
    """

    address: str | None
    workers: int | None
    cpus: int
    memory: int | None
    log: Path
    node: NodeSettings

    @property
    def gpus(self) -> float:
        """GPUs of each worker."""
        return self.node.gpus


@dataclass(frozen=True)
class Submit:
    """Run a job; its name is its id."""

    job: Job[Any, Any]


@dataclass(frozen=True)
class Answer:
    """Answer the last request of a job."""

    job: str
    message: Any


@dataclass(frozen=True)
class Stop:
    """End a job at once."""

    job: str


@dataclass(frozen=True)
class Warm:
    """Prepare every worker for jobs on a backend."""

    backend: Backend


@dataclass(frozen=True)
class Close:
    """End every worker, and the process."""


Command = Submit | Answer | Stop | Warm | Close


@dataclass(frozen=True)
class Capacity:
    """State of the cluster's workers.

    Attributes:
        ready: workers that run jobs.
        wanted: workers that there will be once every node has started.
        nodes: names of the nodes that the ready ones are on, without repetition.
        memory_bytes: memory that each worker may hold.
        problems: nodes that can run no job, each with the reason.
    """

    ready: int
    wanted: int
    nodes: tuple[str, ...]
    memory_bytes: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Happened:
    """An event of a job, which has its id."""

    event: Event


@dataclass(frozen=True)
class Waiting:
    """No worker can start yet, for a reason that may pass."""

    reason: str


@dataclass(frozen=True)
class Refused:
    """The cluster cannot be used, for a reason that a person must mend.

    Attributes:
        needs_token: whether it refused the connection for want of a token.
    """

    reason: str
    needs_token: bool = False


@dataclass(frozen=True)
class Lost:
    """The cluster is gone, with every job."""

    reason: str


Notice = Capacity | Happened | Waiting | Refused | Lost
