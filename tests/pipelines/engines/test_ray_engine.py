"""The Ray engine: the contract of engines, and what happens to it when nodes, or the head, are lost."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest
from engine_contract import FOLDER, EngineContract, end_of, job
from process_tree import find_descendants, find_named

from pipelines.engines.base import EngineLostError, Failed, Finished, Requested
from pipelines.engines.ray_engine import RayEngine
from pipelines.engines.ray_messages import ClusterSettings, NodeSettings
from pipelines.engines.run_job import run_job
from search_spaces.errors import KerastudyError

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]


def settings(home, **changes):
    node = NodeSettings(
        version=changes.pop("version", version("kerastudy")),
        home=changes.pop("node_home", home),
        folder=Path.cwd(),
        search_path=(*sys.path, FOLDER),
        threads=1,
        gpus=changes.pop("gpus", 0.0),
        programs=None,
        user_code=True,
    )
    given = {"address": None, "workers": 2, "cpus": 1, "memory": None, **changes}
    return ClusterSettings(**given, log=home / "ray.log", node=node)


@pytest.fixture(params=["tensorflow", "jax"])
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = RayEngine(settings(tmp_path_factory.mktemp("home")))
    wait_for_workers(engine, 2)
    yield engine
    engine.close()


def wait_for_workers(engine, count, within_s=120.0):
    deadline = time.monotonic() + within_s
    while engine.idle + len(engine.busy) < count:
        assert time.monotonic() < deadline, f"fewer than {count} workers after {within_s} s"
        engine.events(0.5)


class TestRayEngine(EngineContract):
    """The Ray engine by the rules of every engine."""

    def test_this_process_does_without_ray(self, engine):
        """The supervisor has no connection to the cluster that could end it."""
        assert "ray" not in sys.modules

    def test_the_layout_names_the_cluster(self, engine):
        """A person reads where the trials train, and which keys decide it."""
        assert engine.layout.text.startswith("Ray started on this machine: 2 workers of 1 core (resources), on ")

    def test_an_answer_takes_no_time(self, engine, tmp_path):
        """Fifty requests in a row, each answered at once, take far less than a worker's tick each."""
        engine.submit(job("ask_often", tmp_path, payload=50))
        answered = 0
        while True:
            for event in engine.events(5.0):
                if isinstance(event, Requested):
                    engine.answer("ask_often", answered)
                    answered += 1
                if isinstance(event, Finished):
                    assert event.result == list(range(50))
                    return


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "0.0.1"}, r"kerastudy 0\.1\.0 is installed there, and 0\.0\.1 here: install the same version"),
        ({"node_home": Path("/nowhere/home")}, "the home /nowhere/home cannot be seen there: put it on storage"),
        ({"workers": 1, "gpus": 2.0}, "resources.gpus is 2, and the most that a node has is 0"),
        ({"address": "127.0.0.1:1"}, "Ray cannot be reached"),
        ({"address": "127.0.0.1"}, "the address is HOST:PORT, such as head:6379, or auto; got '127.0.0.1'"),
    ],
)
def test_a_cluster_of_no_use_is_refused(tmp_path, changes, message):
    """What a person has to mend is named, with the node or the key."""
    before = list_raylets()
    with pytest.raises(KerastudyError, match=message):
        RayEngine(settings(tmp_path, **changes))
    assert list_raylets() == before


def list_raylets():
    return {each.pid for each in find_named(os.getpid(), "raylet")}


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    """The message names the package to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(KerastudyError, match=r'pip install "kerastudy\[ray\]"'):
        RayEngine(settings(tmp_path))


def test_nodes_are_lost_and_come_back(tmp_path, monkeypatch):
    """A lost node costs its job an attempt, a new node takes its place, and the lost head ends all."""
    monkeypatch.setattr("pipelines.engines.ray_engine._ALONE_S", 10.0)  # the reason takes a while on a busy machine
    monkeypatch.setattr("pipelines.engines.ray_engine._ORPHANED_S", 0.0)
    from ray_nodes import start_ray  # after the engine above: it loads Ray into this process

    with start_ray(2) as nodes:
        engine = RayEngine(settings(tmp_path, address=nodes.address, workers=None))
        try:
            wait_for_workers(engine, 2)
            check_copies(engine, tmp_path)
            check_lost_node(engine, nodes, tmp_path)
            check_all_nodes_lost(engine, nodes, tmp_path)
            check_lost_head(engine, nodes, tmp_path)
        finally:
            engine.close()


def check_copies(engine, tmp_path):
    """A job on another node reads a copy of its data there."""
    (tmp_path / "data" / "below").mkdir(parents=True)
    (tmp_path / "data" / "below" / "rows.txt").write_text("1,2,3")
    text, folder = run_job(
        engine, replace(job("read_data", tmp_path, payload=tmp_path / "data"), data=tmp_path / "data")
    )
    assert text == "1,2,3"
    assert Path(folder).parent.name.startswith("kerastudy-node-")


def check_lost_node(engine, nodes, tmp_path):
    """One of two jobs is lost, and the other one goes on."""
    for name in ("wait_for_answer", "echo"):
        engine.submit(job(name, tmp_path))
    waiting = set()
    while len(waiting) < 2:
        waiting |= {event.job for event in engine.events(1.0) if isinstance(event, Requested)}
    nodes.kill()
    ended = next(event for event in iter_events(engine) if isinstance(event, Failed))
    assert ended.kind == "died"
    assert "was lost" in ended.reason
    (left,) = waiting - {ended.job}
    assert engine.busy == (left,)
    engine.answer(left, "go on")
    assert isinstance(end_of(engine, left), Finished)
    nodes.add()
    wait_for_workers(engine, 2)


def check_all_nodes_lost(engine, nodes, tmp_path):
    """The engine says that it has no worker left and why, and goes on when there is a node again."""
    engine.submit(job("hang", tmp_path))
    nodes.kill()
    nodes.kill()
    reason = r"has no worker left: no Ray node has room for a worker: resources.cpus is 1, and the most .* is 0"
    with pytest.raises(EngineLostError, match=reason):
        for _ in iter_events(engine):
            pass
    nodes.add()
    engine.restart(print, lambda: None)
    assert run_job(engine, job("show_variable", tmp_path, payload="HOME")) == os.environ["HOME"]


def check_lost_head(engine, nodes, tmp_path):
    """The engine is lost, and takes the stop of a job that is lost with it."""
    engine.submit(job("hang", tmp_path))
    time.sleep(1.0)
    nodes.kill_head()
    with pytest.raises(EngineLostError, match="the Ray cluster was lost"):
        for _ in iter_events(engine):
            pass
    engine.stop("hang")


def iter_events(engine, within_s=120.0):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        yield from engine.events(0.5)


def test_nothing_outlives_the_supervisor(tmp_path):
    """Kill -9 of the supervisor ends the Ray that it has started, and every worker."""
    file = tmp_path / "supervisor.py"
    file.write_text(
        "import sys, time\nfrom pathlib import Path\n"
        "from test_ray_engine import RayEngine, job, settings\n"
        "if __name__ == '__main__':\n"
        f"    engine = RayEngine(settings(Path({str(tmp_path)!r}), workers=1))\n"
        f"    engine.submit(job('hang', Path({str(tmp_path)!r})))\n"
        "    print('started', flush=True)\n    time.sleep(600)\n"
    )
    path = os.pathsep.join([FOLDER, str(Path(FOLDER).parents[1] / "support")])
    parent = subprocess.Popen(
        [sys.executable, str(file)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    assert parent.stdout.readline() == b"started\n"
    time.sleep(3.0)
    children = find_descendants(parent.pid)
    assert find_named(parent.pid, "raylet")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(children, timeout=300)
    assert not alive
