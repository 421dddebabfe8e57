"""A Ray cluster of several nodes on this machine, whose nodes can be killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_STORE_BYTES = 100 * 2**20


@dataclass
class RayNodes:
    """The nodes of a cluster; the head has no room for workers."""

    cluster: Any
    nodes: list[Any] = field(default_factory=list)
    lost: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Address for `resources.address`."""
        return str(self.cluster.address)

    def add(self, cores: int = 1) -> None:
        """Start a node."""
        self.nodes.append(self.cluster.add_node(num_cpus=cores, object_store_memory=_STORE_BYTES))

    def kill(self, number: int = 0) -> None:
        """Kill a node and all that runs on it, as a machine that loses power does."""
        node = self.nodes.pop(number)
        self.cluster.worker_nodes.discard(node)
        _kill_processes(_list_processes(node))

    def kill_head(self, *, spare_nodes: bool = False) -> None:
        """Kill the head, and every node unless they are spared: all of this machine's Ray."""
        nodes = [] if spare_nodes else self.nodes
        for node in [*nodes, self.cluster.head_node]:
            _kill_processes(_list_processes(node))

    def restart_head(self) -> None:
        """Start a head at the address of the one that was killed, which knows nothing of it, without nodes."""
        port = int(self.address.rpartition(":")[2])
        self.lost += self.cluster.list_all_nodes()
        self.nodes.clear()
        self.cluster = _start_cluster(gcs_server_port=port)

    def list_folders(self) -> list[Path]:
        """Return the temporary folders of the nodes' copies of data."""
        return sorted(Path(os.environ.get("TMPDIR", "/tmp")).glob("kerastudy-node-*"))


@contextmanager
def start_ray(nodes: int, cores: int = 1) -> Iterator[RayNodes]:
    """Start a cluster with a head without cores and so many nodes, and end it at the end of the block."""
    started = RayNodes(_start_cluster())
    try:
        for _ in range(nodes):
            started.add(cores)
        yield started
    finally:
        nodes_left = [*started.cluster.list_all_nodes(), *started.lost]
        processes = [each for node in nodes_left for each in _list_processes(node)]
        started.cluster.shutdown()
        _kill_processes(processes)


def _start_cluster(**more: Any) -> Any:
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    return Cluster(initialize_head=True, head_node_args=head | more)


def _list_processes(node: Any) -> list[psutil.Process]:
    found = []
    for infos in list(node.all_processes.values()):
        for info in infos:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(info.process.pid)
                found += [process, *process.children(recursive=True)]
    return found


def _kill_processes(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=10)
