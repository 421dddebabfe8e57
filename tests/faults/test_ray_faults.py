"""Studies on a Ray cluster whose nodes are killed, and then its head."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from command import kerastudy
from fault_studies import STUDY, write_study
from promises import find_broken_promises
from ray_studies import count_ended, read_trials, running, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]

ON_RAY = (
    STUDY.replace("trials: 6", "trials: 40")
    .replace("epochs: 4", "epochs: 40")
    .replace("workers: 1, fleet: off", "engine: ray, fleet: off, reconnect: off")
    .replace("search:", "limits: {attempts: 20}\nsearch:")
)


def test_ten_lost_nodes_and_a_lost_head_lose_nothing(tmp_path):
    """Each node is killed while it trains; the study ends with exactly its trials, by every promise."""
    from ray_nodes import start_ray

    file = write_study(tmp_path, ON_RAY)
    with start_ray(2) as nodes, running(tmp_path, file, nodes.address) as process:
        for kill in range(10):
            wait_for(lambda kill=kill: count_ended(tmp_path) >= 2 * kill + 1, process, tmp_path)
            nodes.kill(0)
            nodes.add()
        wait_for(lambda: count_ended(tmp_path) >= 24, process, tmp_path)
        ended = {trial.number: trial.values for trial in read_trials(tmp_path) if trial.state == "complete"}
        nodes.kill_head()
        assert process.wait(180) == 1
    output = (tmp_path / "output.txt").read_text()
    assert "paused: the Ray cluster was lost" in output, output[-3000:]
    with start_ray(2) as nodes, running(tmp_path, file, nodes.address) as process:
        assert process.wait(300) == 0, (tmp_path / "output.txt").read_text()[-3000:]
    trials = read_trials(tmp_path)
    assert [trial.number for trial in trials] == list(range(40))
    assert {trial.state for trial in trials} == {"complete"}
    assert ended.items() <= {trial.number: trial.values for trial in trials}.items()
    assert find_broken_promises(tmp_path / "home") == []
    print((tmp_path / "output.txt").read_text().count("again"), "attempts repeated", file=sys.stderr)


def test_both_engines_give_the_same(tmp_path):
    """The same study, seed and one worker: the same values, and the same scores."""
    found = []
    for engine in ("local", "ray"):
        folder = tmp_path / engine
        folder.mkdir()
        file = write_study(folder, STUDY.replace("workers: 1", f"engine: {engine}, workers: 1"))
        done = kerastudy("--home", folder / "home", "run", file, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        found.append([(trial.number, trial.params, trial.values) for trial in read_trials(folder)])
    assert found[0] == found[1]
    assert len(found[0]) == 6
