"""Kills at every step of the write order: a study still ends with nothing lost and nothing twice."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from command import COMMAND, environment
from fault_studies import SCRIPTED, STUDY, check_lives, write_study
from forked_runs import DELIVERY, KILLED, Request, run_lives
from promises import find_broken_promises

from tracking.testing import failpoints

ROOT = Path(__file__).parents[2]
TOUGH = STUDY.replace("budget:", "limits: {attempts: 30}\nselection: {finalists: 2, seeds: 1, refit: true}\nbudget:")
LASTING = {
    "loop": TOUGH.replace("epochs: 4", "epochs: 400"),
    "fleet": TOUGH.replace("epochs: 4", "epochs: 1500").replace("fleet: off", "fleet: 3"),
}
# Of a study that pauses no trial; `test_paused_trials.py` is about those that do.
OF_PAUSES = {"pause-due", "pause-written", "trial-pause-due", "trial-pause-recorded", "trial-paused", "trial-promoted"}
# Of a study that nobody deletes; `test_deletion.py` is about those.
OF_DELETIONS = {name for name in failpoints.FAILPOINTS if name.startswith("deletion-")}
# Of a backup; `test_restoration.py` is about those.
OF_RESTORATIONS = {name for name in failpoints.FAILPOINTS if name.startswith("restoration-")}
OF_LATE_MODELS = {"model-ahead-written", "model-ahead-moving", "models-written", "models-recorded"}
NOT_HIT_BY = {
    "loop": {"slots-answered", "fleet-filled", "weights-aside", "weights-written", *OF_LATE_MODELS},
    "fleet": set(),
}


# Short forms --------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_supervisor_killed_at_each_step_loses_nothing(tmp_path):
    """Killed once at each step from the draw to MLflow, a study ends with its budget and one run for each trial."""
    names = (
        "study-enqueued", "lease-claimed", "study-opened", "trial-drawn", "trial-rows-added", "trial-start-recorded",
        "slots-answered", "epochs-recorded", "lease-renewed", "trial-end-due", "trial-end-recorded",
        "checkpoints-removed", "trial-reported", "retraining-recorded", "retraining-recorded:2", "winner-chosen",
        "study-closing", "study-closed", "run-created", "run-created:2", "artifacts-uploaded", "model-created",
        "model-logged", "run-logged", "rows-delivered", "rows-acknowledged", "version-created", "",
    )  # fmt: skip
    file, home = write_study(tmp_path, SCRIPTED), tmp_path / "home"
    check_lives(run_lives(Request(str(file), str(home), names, scripted=True)))
    assert find_broken_promises(home, models=False) == []


@pytest.mark.long
def test_a_delivery_killed_at_each_step_loses_nothing(tmp_path):
    """The process that delivers, killed once at each of its steps, is started again: the study has one life."""
    file, home = write_study(tmp_path, SCRIPTED), tmp_path / "home"
    steps = sorted(DELIVERY)
    (life,) = run_lives(Request(str(file), str(home), ("",), scripted=True, deliver_apart=",".join(steps)))
    assert (life.status, life.output[:9]) == (0, "finished:")
    assert [step for step in steps if not (tmp_path / step).exists()] == []
    assert find_broken_promises(home, models=False) == []


@pytest.mark.long
def test_a_training_killed_at_each_write_loses_nothing(tmp_path):
    """Killed between a trial's files, a study continues its trials from complete files, and its best model works."""
    names = (
        "data-prepared", "epoch-logged:2", "checkpoint-moved-back", "model-aside", "result-due", "result-written", "",
    )  # fmt: skip
    file, home = write_study(tmp_path, STUDY.replace("trials: 6", "trials: 3")), tmp_path / "home"
    check_lives(run_lives(Request(str(file), str(home), names)))
    assert find_broken_promises(home) == []


# Long form ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["loop", "fleet"])
def test_each_failpoint_kills_a_process_of_a_real_study(kind, tmp_path):
    """The real command, killed where it or a worker first hits each failpoint, ends as without the kills."""
    file, home, once = write_study(tmp_path, LASTING[kind]), tmp_path / "home", tmp_path / "once"
    once.mkdir()
    env = environment(KERASTUDY_FAILPOINTS=",".join(failpoints.FAILPOINTS), KERASTUDY_FAILPOINTS_ONCE=str(once))
    lives = []
    while True:
        known, began = {each.name for each in once.iterdir()}, time.monotonic()
        command = [COMMAND, "--home", home, "run", file]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
        died = sorted({each.name for each in once.iterdir()} - known)
        lives.append((died, time.monotonic() - began))
        print(f"{kind}: {done.returncode:>4} after {lives[-1][1]:5.1f} s: {', '.join(died) or 'no further failpoint'}")
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        if done.returncode != KILLED:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    assert find_broken_promises(home) == []
    not_hit = set(failpoints.FAILPOINTS) - {each.name for each in once.iterdir()}
    assert not_hit <= NOT_HIT_BY[kind] | OF_PAUSES | OF_DELETIONS | OF_RESTORATIONS
