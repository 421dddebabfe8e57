"""A Ray cluster whose head is lost while a study trains on it: the study waits, and goes on by itself."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter

import pytest
from fault_studies import STUDY, write_study
from process_tree import find_descendants, read_command_line
from promises import find_broken_promises
from ray_studies import read_trials, running, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]

ON_RAY = STUDY.replace("epochs: 4", "epochs: 30").replace("workers: 1", "engine: ray, workers: 2")


def has_printed(folder, pattern):
    return re.search(pattern, (folder / "output.txt").read_text()) is not None


def is_of_ray(process):
    return " ".join(read_command_line(process)).startswith("ray::") or "/ray/core/" in "".join(
        read_command_line(process)
    )


def check_end(folder):
    """Check that the study waited once, and that of its trials only those that ran at the loss began again."""
    output = (folder / "output.txt").read_text()
    assert re.search(r"the Ray cluster was lost: .*; waiting up to 1h00m for it to come back", output), output[-3000:]
    assert "it is back after" in output
    trials = read_trials(folder)
    assert [(trial.number, trial.state) for trial in trials] == [(number, "complete") for number in range(6)]
    lines = (folder / "home" / "studies" / "it" / "events.jsonl").read_text().splitlines()
    kinds = [(event["event"], event) for event in map(json.loads, lines)]
    lost = [kind for kind, _ in kinds].index("engine-lost")
    began = [event["number"] for kind, event in kinds if kind == "trial-began"]
    ended_before = {event["number"] for kind, event in kinds[:lost] if kind == "trial-ended"}
    again = {number for number, count in Counter(began).items() if count > 1}
    assert again
    assert not again & ended_before
    assert len(again) <= 2
    assert find_broken_promises(folder / "home") == []


def test_a_study_goes_on_when_the_head_is_back(tmp_path):
    """Head and nodes are killed, and others start at the address: exactly the budget is trained."""
    from ray_nodes import start_ray

    file = write_study(tmp_path, ON_RAY)
    with start_ray(2) as nodes, running(tmp_path, file, nodes.address) as process:
        wait_for(lambda: has_printed(tmp_path, r"t00\d (epoch|complete)"), process, tmp_path)
        nodes.kill_head()
        wait_for(lambda: has_printed(tmp_path, "waiting up to"), process, tmp_path)
        nodes.restart_head()
        nodes.add()
        nodes.add()
        assert process.wait(600) == 0, (tmp_path / "output.txt").read_text()[-3000:]
    check_end(tmp_path)


def test_a_study_that_is_resumed_waits_for_the_head(tmp_path):
    """Its command was ended, and head and nodes too: the same command waits, and goes on when they are back."""
    from ray_nodes import start_ray

    file = write_study(tmp_path, ON_RAY)
    with start_ray(2) as nodes:
        with running(tmp_path, file, nodes.address) as process:
            wait_for(lambda: has_printed(tmp_path, r"t00\d (epoch|complete)"), process, tmp_path)
        nodes.kill_head()
        with running(tmp_path, file, nodes.address) as process:
            line = r"waiting up to 1h00m for it to come back \(resources.reconnect\)"
            wait_for(lambda: has_printed(tmp_path, line), process, tmp_path)
            nodes.restart_head()
            nodes.add()
            nodes.add()
            assert process.wait(600) == 0, (tmp_path / "output.txt").read_text()[-3000:]
    assert has_printed(tmp_path, "it is back after")
    assert [(each.number, each.state) for each in read_trials(tmp_path)] == [(each, "complete") for each in range(6)]
    assert find_broken_promises(tmp_path / "home") == []


LOADER = """
import pathlib, time
import pandas as pd

def load():
    pathlib.Path("reading").touch()
    time.sleep(20)
    return pd.read_csv("mixed.csv")
"""


def test_a_study_whose_data_is_read_waits_for_the_head(tmp_path):
    """Head and nodes are killed while its data is read, before its first trial: the check begins again."""
    from ray_nodes import start_ray

    text = ON_RAY.replace("mixed.csv", "loader.py:load").replace("epochs: 30", "epochs: 2")
    file = write_study(tmp_path, text)
    (tmp_path / "loader.py").write_text(LOADER)
    with start_ray(2) as nodes, running(tmp_path, file, nodes.address) as process:
        wait_for((tmp_path / "reading").exists, process, tmp_path)
        nodes.kill_head()
        line = r"the Ray cluster was lost: .*; waiting up to 1h00m for it to come back \(resources.reconnect\)"
        wait_for(lambda: has_printed(tmp_path, line), process, tmp_path)
        nodes.restart_head()
        nodes.add()
        nodes.add()
        assert process.wait(600) == 0, (tmp_path / "output.txt").read_text()[-3000:]
    assert has_printed(tmp_path, "it is back after .*: the check of the study begins again")
    assert [(each.number, each.state) for each in read_trials(tmp_path)] == [(each, "complete") for each in range(6)]
    assert find_broken_promises(tmp_path / "home") == []


def test_a_cluster_that_was_started_here_is_started_again(tmp_path):
    """Without an address the study has a Ray of its own, which it replaces where it is lost."""
    file = write_study(tmp_path, ON_RAY)
    with running(tmp_path, file, "null") as process:
        wait_for(lambda: has_printed(tmp_path, r"t00\d (epoch|complete)"), process, tmp_path)
        # Its workers too: they would train to the end before the loss is noticed.
        lost = [each for each in find_descendants(process.pid) if is_of_ray(each)]
        assert len(lost) > 2
        for each in lost:
            each.kill()
        assert process.wait(600) == 0, (tmp_path / "output.txt").read_text()[-3000:]
    check_end(tmp_path)
