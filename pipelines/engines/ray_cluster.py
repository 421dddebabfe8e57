"""Process that is connected to a Ray cluster, and the actors that it runs jobs in; the one home of Ray.

Ray ends the process that is connected to it when the cluster's head is lost. That is this process, and not the
supervisor, which sees its pipe close and pauses the study. Ray places workers, carries messages and finds lost nodes;
it retries nothing, because the supervisor does.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import psutil
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, LocalRayletDiedError, RayError

from pipelines.engines.base import Backend, Event, Failed, Finished, Job, Requested
from pipelines.engines.node_data import NodeData
from pipelines.engines.node_room import compute_room, compute_worker_memory, explain_no_room
from pipelines.engines.node_worker import NodeDescription, NodeWorker
from pipelines.engines.ray_messages import (
    Capacity,
    Close,
    ClusterSettings,
    Command,
    Happened,
    Lost,
    NodeSettings,
    Notice,
    Refused,
    Stop,
    Submit,
    Waiting,
    Warm,
)
from search_spaces.error_text import shorten_message

_CREATION = "error raised in its creation task"
_NO_TOKEN = "it takes a token, and got none or another one; set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to its file"
_LOOK_EVERY_S = 1.0
_RETRY_S = 0.5
_CLOSE_S = 10.0
_ANSWER_S = 10.0
_THREADS = 8  # of an actor: one polls, one starts or stops, and answers overtake both
_SHARE_OF_STORE = 0.2  # chosen: larger data stays on the shared storage, and is not spilled to disk by Ray


class RayNodeWorker(NodeWorker):
    """A node's worker as Ray runs it: it takes prepared data from the cluster's object store.

    Args:
        settings: what every worker is started with.
        cluster: name of the engine.
    """

    def __init__(self, settings: NodeSettings, cluster: str) -> None:
        super().__init__(settings)
        self._node = ray.get_runtime_context().get_node_id()
        self._node_data = NodeData(cluster, self._node[:12])

    def describe(self) -> NodeDescription:
        """Return where the worker runs, and whether it can."""
        return replace(super().describe(), node=self._node)

    def submit_with_data(self, job: Job[Any, Any], key: str, files: Mapping[str, Any]) -> None:
        """Start a job that reads the node's copy of its data; `files` has a reference for each relative path."""
        reads = {name: lambda ref=ref: ray.get(ref) for name, ref in files.items()}
        with suppress(OSError):  # without room here, the job reads the shared storage
            job = replace(job, data_copy=self._node_data.copy(key, reads))
        self.submit(job)

    def close(self) -> None:
        """End every job and process, and remove the copies of the data."""
        super().close()
        self._node_data.leave()


def run_link(connection: Connection[Any, Any], settings: ClusterSettings) -> None:
    """Connect to the cluster and serve the supervisor until it closes the pipe; the body of a process."""
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    _redirect_output(settings.log)
    try:
        _connect(settings)
    except (RayError, OSError, RuntimeError, ValueError) as error:
        traceback.print_exc()
        refused = "AuthenticationError" in traceback.format_exc()  # Ray wraps it in others
        connection.send(Refused(f"Ray cannot be reached: {_NO_TOKEN if refused else _explain(error)}", refused))
        return
    asyncio.run(_Link(connection, settings).run())
    ray.shutdown()


def _connect(settings: ClusterSettings) -> None:
    if settings.address is not None:
        _check_answer(settings.address)
        ray.init(settings.address, log_to_driver=False, configure_logging=False)
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # As on the local engine, there may be more workers than cores.
    cores = None if settings.workers is None else settings.workers * settings.cpus
    ray.init(
        "local",
        num_cpus=cores,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        _node_ip_address="127.0.0.1",  # nobody else has to reach it
    )


def _check_answer(address: str) -> None:
    """Raise an error at once for no address, or where nothing answers at it: Ray would try for more than a minute."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
        except OSError as error:
            raise OSError(f"nothing answers at {address}: {error.strerror or error}") from None
    elif address not in ("auto", "local") and "://" not in address:
        raise ValueError(f"the address is HOST:PORT, such as head:6379, or auto; got {address!r}")


@dataclass
class _Agent:
    """An actor and the jobs that it runs.

    Attributes:
        problem: why it can run none. It stays, so that Ray starts the next one on another node.
    """

    handle: Any
    problem: str = ""
    is_aside: bool = False
    is_ready: bool = False
    host: str = ""
    node: str = ""
    jobs: dict[str, Job[Any, Any]] = field(default_factory=dict)
    last_backend: Backend | None = None


class _Link:
    """The supervisor's pipe on one side, the cluster's actors on the other."""

    def __init__(self, connection: Connection[Any, Any], settings: ClusterSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._name = uuid.uuid4().hex[:8]
        self._node = ray.get_runtime_context().get_node_id()
        self._agents: list[_Agent] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._queued: list[Job[Any, Any]] = []
        self._requests: dict[str, int] = {}
        self._data: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._wanted = settings.workers or 1
        self._store_bytes = 0.0  # of the smallest node
        self._capacity: Capacity | None = None
        self._has_waited = False
        self._is_closed = asyncio.Event()

    async def run(self) -> None:
        """Serve until the supervisor sends `Close` or the cluster is lost."""
        asyncio.get_running_loop().add_reader(self._connection.fileno(), self._read_command)
        self._start(self._look_after_agents())
        await self._is_closed.wait()
        for task in self._tasks:
            task.cancel()
        closing = [agent.handle.close.remote() for agent in self._agents if agent.is_ready]
        with suppress(RayError, TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), _CLOSE_S)

    # The supervisor --------------------------------------------------------------------------------------------

    def _send(self, notice: Notice) -> None:
        try:
            self._connection.send(notice)
        except OSError:
            _end_at_once()

    def _read_command(self) -> None:
        try:
            while self._connection.poll():
                self._obey(self._connection.recv())
        except (EOFError, OSError):
            _end_at_once()

    def _obey(self, command: Command) -> None:
        if isinstance(command, Submit):
            self._queued.append(command.job)
            self._dispatch()
        elif isinstance(command, Close):
            self._is_closed.set()
        elif isinstance(command, Warm):
            for each in self._agents:
                self._start(self._call(each, "warm", command.backend))
        elif isinstance(command, Stop):
            self._stop(command.job)
        elif (agent := self._find(command.job)) is not None:
            request = self._requests.pop(command.job)
            self._start(self._call(agent, "answer", command.job, request, command.message))

    def _stop(self, job: str) -> None:
        if any(each.name == job for each in self._queued):
            self._queued = [each for each in self._queued if each.name != job]
            self._send(Happened(Failed(job, "stopped", "stopped on request")))
        elif (agent := self._find(job)) is not None:
            self._start(self._call(agent, "stop", job))

    # Jobs ------------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Give every queued job that has a free worker to it."""
        waiting, self._queued = self._queued, []
        for job in waiting:
            if (agent := self._choose_agent(job)) is None:
                self._queued.append(job)
                continue
            agent.jobs[job.name], agent.last_backend = job, job.backend
            self._start(self._submit(agent, job))

    def _choose_agent(self, job: Job[Any, Any]) -> _Agent | None:
        if job.aside:
            aside = next((agent for agent in self._agents if agent.is_aside), None) or self._create_agent(is_aside=True)
            return aside if aside.is_ready else None
        free = [agent for agent in self._agents if agent.is_ready and not agent.is_aside and not agent.jobs]
        # One that has the backend loaded starts the job sooner.
        return min(free, key=lambda agent: agent.last_backend != job.backend, default=None)

    def _find(self, job: str) -> _Agent | None:
        return next((agent for agent in self._agents if job in agent.jobs), None)

    async def _submit(self, agent: _Agent, job: Job[Any, Any]) -> None:
        # The link's machine has the folder itself.
        if job.data is not None and agent.node != self._node and (put := await self._put(job.data)) is not None:
            await self._call(agent, "submit_with_data", job, *put)
        else:
            await self._call(agent, "submit", job)

    async def _put(self, folder: Path) -> tuple[str, Mapping[str, Any]] | None:
        """Return a folder's key and a reference for each of its files; None if it is too large for the store."""
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        facts = [(str(file.relative_to(folder)), file.stat()) for file in files]
        if sum(fact.st_size for _, fact in facts) > _SHARE_OF_STORE * self._store_bytes:
            return None
        key = hashlib.sha256(
            repr([(str(folder), name, fact.st_size, fact.st_mtime_ns) for name, fact in facts]).encode()
        ).hexdigest()[:20]
        if key not in self._data:
            # Kept, so that the store keeps them: the bytes are there once, whatever the number of nodes.
            names = [name for name, _ in facts]
            # In a thread: meanwhile the workers are polled, which would else end their jobs.
            self._data[key] = asyncio.ensure_future(asyncio.to_thread(_put_files, folder, names))
        return key, await self._data[key]

    def _pass_on(self, agent: _Agent, number: int, event: Event) -> None:
        if event.job not in agent.jobs:
            return
        if isinstance(event, Requested):
            self._requests[event.job] = number
        if isinstance(event, Finished | Failed):
            del agent.jobs[event.job]
            self._requests.pop(event.job, None)
        self._send(Happened(event))
        self._dispatch()

    # Agents ----------------------------------------------------------------------------------------------------

    async def _look_after_agents(self) -> None:
        """Keep as many agents as there is room for, and notice that the head is lost."""
        while True:
            nodes = await asyncio.to_thread(_list_alive)
            if self._node not in nodes:
                return self._lose_cluster("the node that the supervisor is connected to was lost")
            resources = list(nodes.values())
            self._store_bytes = min(each.get("object_store_memory", 0.0) for each in resources)
            room = sum(compute_room(each, self._settings) for each in resources)
            if not room and not self._has_waited:
                self._send(Waiting(explain_no_room(resources, self._settings)))
            self._has_waited = not room
            self._fit_agents(room)
            self._report_capacity(compute_worker_memory(resources, self._settings))
            await asyncio.sleep(_LOOK_EVERY_S)

    def _fit_agents(self, room: int) -> None:
        """Create the agents that are missing, and remove those that wait for a place that there is no more."""
        agents = [agent for agent in self._agents if not agent.is_aside and not agent.problem]
        useless = sum(bool(agent.problem) for agent in self._agents)
        self._wanted = wanted = self._settings.workers or max(1, room - useless)
        for agent in [agent for agent in agents if not agent.is_ready][: max(0, len(agents) - wanted)]:
            self._remove(agent)
        for _ in range(wanted - len(agents)):
            self._create_agent()

    def _report_capacity(self, memory_bytes: int) -> None:
        ready = [agent for agent in self._agents if agent.is_ready and not agent.is_aside]
        hosts = tuple(sorted({agent.host for agent in ready}))
        problems = tuple(sorted({f"{agent.host}: {agent.problem}" for agent in self._agents if agent.problem}))
        capacity = Capacity(len(ready), self._wanted, hosts, memory_bytes, problems)
        if capacity != self._capacity:
            self._capacity = capacity
            self._send(capacity)

    def _create_agent(self, *, is_aside: bool = False) -> _Agent:
        settings = self._settings
        node = replace(settings.node, gpus=0.0) if is_aside else settings.node
        options = {
            "num_cpus": 0 if is_aside else settings.cpus,
            "num_gpus": 0 if is_aside else settings.gpus,
            "memory": None if is_aside else settings.memory,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": _THREADS,
            "scheduling_strategy": "SPREAD",
        }
        agent = _Agent(ray.remote(RayNodeWorker).options(**options).remote(node, self._name), is_aside=is_aside)
        self._agents.append(agent)
        self._start(self._follow(agent))
        return agent

    async def _follow(self, agent: _Agent) -> None:
        """Pass on an actor's events until it has ended."""
        seen = 0
        try:
            described = await self._describe(agent)
            agent.host, agent.node = described.host, described.node
            if described.problem:
                return self._set_aside(agent, described.problem)
            agent.is_ready = True
            self._dispatch()
            while True:
                for number, event in await self._poll(agent, seen):
                    seen = number
                    self._pass_on(agent, number, event)
        except LocalRayletDiedError as error:
            self._lose_cluster(_explain(error))
        except RayError as error:
            self._lose(agent, error)

    async def _describe(self, agent: _Agent) -> NodeDescription:
        while True:
            try:
                described: NodeDescription = await agent.handle.describe.remote()
            except ActorUnavailableError:
                await asyncio.sleep(_RETRY_S)
                continue
            return described

    async def _poll(self, agent: _Agent, seen: int) -> Sequence[tuple[int, Event]]:
        try:
            polled: Sequence[tuple[int, Event]] = await agent.handle.poll.remote(seen)
        except ActorUnavailableError:  # the node may come back; Ray decides when it is dead
            await asyncio.sleep(_RETRY_S)
            return ()
        return polled

    async def _call(self, agent: _Agent, method: str, *arguments: Any) -> None:
        """Call a method of an actor, again while it cannot be reached; its end is noticed by `_follow`."""
        while agent in self._agents:
            try:
                await getattr(agent.handle, method).remote(*arguments)
            except ActorUnavailableError:
                await asyncio.sleep(_RETRY_S)
                continue
            except RayError:
                traceback.print_exc()
            return

    def _lose(self, agent: _Agent, error: RayError) -> None:
        """Report the jobs of an actor that has ended; one that could not be made is not made again."""
        traceback.print_exception(error)
        reason = f"its worker on the Ray node {agent.host} was lost: {_explain(error)}"
        for name in agent.jobs:
            self._requests.pop(name, None)
            self._send(Happened(Failed(name, "died", reason)))
        # Ray has no error type for an actor whose constructor failed.
        if not agent.is_ready and (_CREATION in str(error) or not isinstance(error, ActorDiedError)):
            self._set_aside(agent, f"a worker cannot be started: {_explain(error)}")
        else:
            self._remove(agent)

    def _set_aside(self, agent: _Agent, problem: str) -> None:
        """Do without an actor that can run no job; before there is another one, a person must mend it first."""
        agent.problem = problem
        if not any(each.is_ready for each in self._agents):
            place = f"node {agent.host}" if agent.host else "cluster"
            self._send(Refused(f"the Ray {place} cannot be used: {problem}"))

    def _remove(self, agent: _Agent) -> None:
        self._agents.remove(agent)
        with suppress(RayError):
            ray.kill(agent.handle)

    def _lose_cluster(self, reason: str) -> None:
        self._send(Lost(reason))
        self._is_closed.set()

    def _start(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._end_task)

    def _end_task(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            traceback.print_exception(error)
            self._lose_cluster(f"the connection to Ray failed: {_explain(error)}")


def _put_files(folder: Path, names: Sequence[str]) -> Mapping[str, Any]:
    """Put files into the object store, and return a reference for each."""
    return {name: ray.put(_read_bytes(folder / name)) for name in names}


def _read_bytes(file: Path) -> Any:
    """Return a file's content as an array, which Ray stores without a further copy."""
    return np.fromfile(file, np.uint8)


def _list_alive() -> dict[str, Mapping[str, float]]:
    """Return what each node of the cluster has in all, by the node's id; waits while the head does not answer."""
    list_nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
    return {node["NodeID"]: node["Resources"] for node in list_nodes() if node["Alive"]}


def _explain(error: BaseException) -> str:
    """Return the most useful line of an error: of a long report of Ray's the last one, which names the cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return shorten_message(lines[-1] if _CREATION in lines[0] else lines[0]).rstrip(".")


def _redirect_output(log: Path) -> None:
    """Send what this process prints, down to the C++ level, to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(target, number)
    os.close(target)


def _end_with_supervisor() -> None:
    if (supervisor := parent_process()) is not None:
        wait([supervisor.sentinel])
        _end_at_once()


def _end_at_once() -> NoReturn:
    """End this process, whose supervisor is gone, and a cluster that it has started; Ray ends its actors elsewhere."""
    # Some of Ray's processes would outlive the one that has started them.
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    os._exit(1)
