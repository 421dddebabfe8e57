"""Kills of a study with paused trials: its budget is exact, and nothing before a pause is trained again."""

from __future__ import annotations

import random

import optuna
import pytest
from command import kerastudy
from fault_studies import SCRIPTED, STUDY, check_lives, write_study
from forked_runs import Request, run_lives
from promises import find_broken_promises

from pipelines.queries.study_reader import StudyReader
from pipelines.search.trial_summaries import PAUSED
from pipelines.workspace.home import Home
from tracking.store.database import Store
from tracking.testing import failpoints

ASHA = (
    SCRIPTED.replace("pruner: none", "pruner: asha").replace("epochs: 3", "epochs: 9").replace("trials: 6", "trials: 9")
)
TRAINED = (
    STUDY.replace("pruner: none", "pruner: asha").replace("epochs: 4", "epochs: 9").replace("trials: 6", "trials: 9")
)
KILLS = 30


@pytest.mark.long
def test_a_study_killed_at_each_step_of_a_pause_loses_nothing(tmp_path):
    """Killed before, between and after the steps of a pause and of a promotion, a study ends with its budget."""
    names = ("trial-pause-due", "trial-pause-recorded", "trial-paused", "trial-promoted", "trial-paused:2", "")
    file, home = write_study(tmp_path, ASHA), tmp_path / "home"
    check_lives(run_lives(Request(str(file), str(home), names, scripted=True)))
    assert find_broken_promises(home, models=False) == []


@pytest.mark.long
def test_a_training_killed_between_checkpoint_and_pause_stands_at_its_rung(tmp_path):
    """A trial whose worker dies before its pause is written does not pass the rung: all ends as without the kill."""
    assert list_ends(run_killed(tmp_path / "killed", TRAINED)) == list_ends(run_study(tmp_path / "whole", TRAINED))


@pytest.mark.long
def test_a_fleet_killed_between_checkpoint_and_pause_stands_at_its_rung(tmp_path):
    """The trial of a fleet whose worker dies before its pause is written pauses at that rung all the same."""
    home = run_killed(tmp_path / "killed", TRAINED.replace("fleet: off", "fleet: 2"))
    with Store.open(home) as store:
        study = optuna.load_study(study_name="it", storage=store.open_optuna_storage())
        assert PAUSED in study.trials[0].user_attrs, "no other trial was there, so the first one had to pause"


def run_killed(folder, text):
    """Return the home of a study whose worker is killed once, between the checkpoint of a pause and its record."""
    once = folder / "once"
    once.mkdir(parents=True)
    home = run_study(folder, text, **{failpoints.SETTING: "pause-due", failpoints.ONCE_SETTING: str(once)})
    assert (once / "pause-due").exists()
    return home


def run_study(folder, text, **setting):
    """Return the home of a study that keeps its promises."""
    folder.mkdir(exist_ok=True)
    file, home = write_study(folder, text), folder / "home"
    done = kerastudy("--home", home, "run", file, cwd=folder, **setting)
    assert done.returncode == 0, done.stdout + done.stderr
    assert find_broken_promises(home) == []
    return home


def list_ends(home):
    """Return state, epochs and score of each trial."""
    with StudyReader.open(Home(home, str(home))) as reader:
        return [(trial.state, trial.epochs, trial.values) for trial in reader.list_trials("it")]


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
