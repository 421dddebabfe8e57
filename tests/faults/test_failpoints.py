"""A study that is killed at any step of its write order comes to its end with nothing lost and nothing twice."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import COMMAND, environment
from fault_studies import SCRIPTED, STUDY, check_lives, write_study
from forked_runs import KILLED, Request, lives_of
from promises import broken_promises

from tracking.testing import failpoints

ROOT = Path(__file__).parents[2]
TOUGH = STUDY.replace("budget:", "limits: {attempts: 30}\nselection: {finalists: 2, seeds: 1, refit: true}\nbudget:")
LASTING = {
    "loop": TOUGH.replace("epochs: 4", "epochs: 400"),
    "fleet": TOUGH.replace("epochs: 4", "epochs: 1500").replace("fleet: off", "fleet: 3"),
}
NOT_REACHED_BY = {
    "loop": {"slots-answered", "fleet-filled", "weights-aside", "weights-written", "models-written", "models-recorded"},
    "fleet": set(),
}


# The places ---------------------------------------------------------------------------------------------------


def test_each_place_in_the_code_is_registered():
    """A test can go through all places by their names, and none stands for nothing."""
    found = {
        name
        for package in ("pipelines", "tracking")
        for file in (ROOT / package).rglob("*.py")
        for name in re.findall(r'\bhit\("([a-z-]+)"\)', file.read_text(encoding="utf-8"))
    }
    assert found == set(failpoints.POINTS)


def killed_at(wanted, times, tmp_path):
    """Come to a place so many times in a process; return its exit status and how often it got past."""
    code = (
        "from tracking.testing.failpoints import hit\n"
        f"for time in range({times}):\n"
        "    hit('trial-drawn'); hit('trial-reported'); print('past', flush=True)\n"
    )
    env = environment(KERASTUDY_FAILPOINTS=wanted, KERASTUDY_FAILPOINTS_ONCE=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.count("past"), done.stderr


def test_a_process_dies_at_the_nth_time_and_once(tmp_path):
    """`name:n` counts; a place that has killed kills no further process."""
    assert killed_at("trial-reported:3", 5, tmp_path)[:2] == (KILLED, 2)
    assert killed_at("trial-reported:3", 5, tmp_path)[:2] == (0, 5)
    assert [file.name for file in tmp_path.iterdir()] == ["trial-reported"]
    assert killed_at("trial-reported,trial-drawn:2", 5, tmp_path)[:2] == (KILLED, 1)


def test_an_unknown_place_is_named(tmp_path):
    """A slip in a place's name is no test that passes because nothing was killed."""
    status, _, said = killed_at("trial-reproted", 1, tmp_path)
    assert status == 1
    assert "no place 'trial-reproted'" in said


# Short forms --------------------------------------------------------------------------------------------------


def test_a_supervisor_killed_at_each_step_loses_nothing(tmp_path):
    """Killed once at each step between asking and MLflow, a study ends with its budget and one run for each trial."""
    places = (
        "study-enqueued", "lease-claimed", "study-opened", "trial-drawn", "trial-rows-added", "trial-start-recorded",
        "slots-answered", "epochs-recorded", "lease-renewed", "trial-end-due", "trial-end-recorded",
        "checkpoints-removed", "trial-reported", "retraining-recorded", "retraining-recorded:2", "winner-chosen",
        "study-closing", "study-closed", "run-created", "run-created:2", "artifacts-uploaded", "model-created",
        "model-logged", "run-logged", "rows-delivered", "rows-acknowledged", "version-created", "",
    )  # fmt: skip
    file, home = write_study(tmp_path, SCRIPTED), tmp_path / "home"
    check_lives(lives_of(Request(str(file), str(home), places, scripted=True)))
    assert broken_promises(home, models=False) == []


def test_a_training_killed_at_each_write_loses_nothing(tmp_path):
    """Killed between a trial's files, a study takes each trial up from what is whole, and its best model works."""
    places = (
        "data-prepared", "epoch-logged:2", "checkpoint-moved-back", "model-aside", "result-due", "result-written", "",
    )  # fmt: skip
    file, home = write_study(tmp_path, STUDY.replace("trials: 6", "trials: 3")), tmp_path / "home"
    check_lives(lives_of(Request(str(file), str(home), places)))
    assert broken_promises(home) == []


# Long form ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["loop", "fleet"])
def test_each_place_kills_a_process_of_a_real_study(kind, tmp_path):
    """The real command, killed wherever it or a worker comes to a place for the first time, ends as if nothing was."""
    file, home, once = write_study(tmp_path, LASTING[kind]), tmp_path / "home", tmp_path / "once"
    once.mkdir()
    env = environment(KERASTUDY_FAILPOINTS=",".join(failpoints.POINTS), KERASTUDY_FAILPOINTS_ONCE=str(once))
    lives = []
    while True:
        known, began = {each.name for each in once.iterdir()}, time.monotonic()
        command = [COMMAND, "--home", home, "run", file]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
        died = sorted({each.name for each in once.iterdir()} - known)
        lives.append((died, time.monotonic() - began))
        print(f"{kind}: {done.returncode:>4} after {lives[-1][1]:5.1f} s: {', '.join(died) or 'no further place'}")
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        if done.returncode != KILLED:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    assert broken_promises(home) == []
    unreached = set(failpoints.POINTS) - {each.name for each in once.iterdir()}
    assert unreached <= NOT_REACHED_BY[kind]
