"""Room for workers on the nodes of a cluster, by what each node has in all and what each worker takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pipelines.engines.ray_messages import ClusterSettings

Resources = Mapping[str, float]
"""What a node has, by Ray's names: CPU, GPU, and memory in bytes."""

_SHARE_OF_MEMORY = 0.9  # chosen: the rest is for Ray and the system


def compute_room(node: Resources, settings: ClusterSettings) -> int:
    """Return the number of workers that a node has room for."""
    rooms = [node.get("CPU", 0.0) / settings.cpus]
    if settings.gpus > 1:
        rooms.append(node.get("GPU", 0.0) / settings.gpus)
    elif settings.gpus:  # shares of one GPU: what is left of a GPU is not joined to what is left of another
        rooms.append(node.get("GPU", 0.0) * math.floor(1 / settings.gpus))
    if settings.memory:
        rooms.append(node.get("memory", 0.0) / settings.memory)
    return int(min(rooms))


def compute_worker_memory(nodes: Sequence[Resources], settings: ClusterSettings) -> int:
    """Return the bytes that each worker may hold: what is set aside for it, or its share of the smallest node."""
    if settings.memory:
        return settings.memory
    shares = [
        _SHARE_OF_MEMORY * node.get("memory", 0.0) / room for node in nodes if (room := compute_room(node, settings))
    ]
    return int(min(shares, default=0.0))


def explain_no_room(nodes: Sequence[Resources], settings: ClusterSettings) -> str:
    """Return that no node has what one worker takes, with the most that there is."""
    wanted = {"cpus": float(settings.cpus), "gpus": settings.gpus, "memory": float(settings.memory or 0)}
    names = {"cpus": "CPU", "gpus": "GPU", "memory": "memory"}
    parts = [
        f"resources.{key} is {value:g}, and the most that a node has is {_find_most(nodes, names[key]):g}"
        for key, value in wanted.items()
        if value > _find_most(nodes, names[key])
    ]
    missing = "; ".join(parts) or "no node has all of resources.cpus, gpus and memory together"
    return f"no Ray node has room for a worker: {missing}"


def _find_most(nodes: Sequence[Resources], name: str) -> float:
    return max((node.get(name, 0.0) for node in nodes), default=0.0)
