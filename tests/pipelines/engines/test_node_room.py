"""Room for workers on nodes: by cores, shares of GPUs and memory, and what is stated where there is none."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from pipelines.engines.node_room import compute_room, compute_worker_memory, explain_no_room
from pipelines.engines.ray_messages import ClusterSettings, NodeSettings

GB = 10**9


def settings(cpus=1, gpus=0.0, memory=None):
    node = NodeSettings(version("kerastudy"), Path(), Path(), (), cpus, gpus, None, True)
    return ClusterSettings(None, None, cpus, memory, Path("ray.log"), node)


@pytest.mark.parametrize(
    ("node", "wanted", "room"),
    [
        ({"CPU": 8.0}, settings(), 8),
        ({"CPU": 8.0}, settings(cpus=3), 2),
        ({"CPU": 0.0}, settings(), 0),
        ({"CPU": 8.0, "memory": 10.0 * GB}, settings(memory=4 * GB), 2),
        ({"CPU": 8.0}, settings(memory=4 * GB), 0),
        ({"CPU": 64.0, "GPU": 2.0}, settings(gpus=0.25), 8),
        ({"CPU": 64.0, "GPU": 2.0}, settings(gpus=0.4), 4),
        ({"CPU": 64.0, "GPU": 4.0}, settings(gpus=2.0), 2),
        ({"CPU": 4.0, "GPU": 2.0}, settings(gpus=0.25), 4),
        ({"CPU": 64.0}, settings(gpus=0.25), 0),
    ],
)
def test_the_scarcest_decides(node, wanted, room):
    """A worker fits where all of what it takes is left; what is left of one GPU is not joined to another's."""
    assert compute_room(node, wanted) == room


def test_memory_is_what_is_set_aside_or_a_share():
    """Without `resources.memory` a worker has its share of the node with the least for each."""
    nodes = [{"CPU": 4.0, "memory": 40.0 * GB}, {"CPU": 8.0, "memory": 40.0 * GB}, {"CPU": 0.0, "memory": 1.0 * GB}]
    assert compute_worker_memory(nodes, settings()) == pytest.approx(0.9 * 5 * GB)
    assert compute_worker_memory(nodes, settings(memory=3 * GB)) == 3 * GB
    assert compute_worker_memory([], settings()) == 0


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (settings(cpus=9), "resources.cpus is 9, and the most that a node has is 8"),
        (settings(gpus=0.5), "resources.gpus is 0.5, and the most that a node has is 0"),
        (settings(cpus=8, memory=20 * GB), "no node has all of resources.cpus, gpus and memory together"),
    ],
)
def test_what_is_missing_is_named(wanted, text):
    """The key to change and the most that there is are named."""
    nodes = [{"CPU": 8.0, "memory": 10.0 * GB}, {"CPU": 2.0, "memory": 30.0 * GB}]
    assert not sum(compute_room(node, wanted) for node in nodes)
    assert text in explain_no_room(nodes, wanted)
