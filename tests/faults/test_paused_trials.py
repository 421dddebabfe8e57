"""Kills of a study with paused trials: its budget is exact, and nothing before a pause is trained again."""

from __future__ import annotations

import random

import pytest
from fault_studies import SCRIPTED, check_lives, write_study
from forked_runs import Request, run_lives
from promises import find_broken_promises

ASHA = (
    SCRIPTED.replace("pruner: none", "pruner: asha").replace("epochs: 3", "epochs: 9").replace("trials: 6", "trials: 9")
)
KILLS = 30


@pytest.mark.long
def test_a_study_killed_at_each_step_of_a_pause_loses_nothing(tmp_path):
    """Killed before, between and after the steps of a pause and of a promotion, a study ends with its budget."""
    names = ("trial-pause-due", "trial-pause-recorded", "trial-paused", "trial-promoted", "trial-paused:2", "")
    file, home = write_study(tmp_path, ASHA), tmp_path / "home"
    check_lives(run_lives(Request(str(file), str(home), names, scripted=True)))
    assert find_broken_promises(home, models=False) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_study_with_paused_trials_is_killed_thirty_times(tmp_path):
    """Killed thirty times at steps of pauses, promotions and ends, in fleets of scripted trials."""
    chance = random.Random(7)
    points = ["trial-pause-due", "trial-pause-recorded", "trial-paused", "trial-promoted", "trial-end-recorded"]
    names = [chance.choice(points) for _ in range(KILLS)]
    file, home = write_study(tmp_path, ASHA.replace("trials: 9", "trials: 60")), tmp_path / "home"
    check_lives(run_lives(Request(str(file), str(home), (*names, ""), scripted=True), timeout_s=1500))
    assert find_broken_promises(home, models=False) == []
