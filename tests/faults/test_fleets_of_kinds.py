"""Kills of a study whose trials need several programs: it ends with the trials and the scores that it has without."""

from __future__ import annotations

import pytest
from command import kerastudy
from fault_studies import write_study
from forked_runs import KILLED
from promises import find_broken_promises

from pipelines.queries.study_reader import StudyReader
from pipelines.training.trial_folder import read_epochs
from pipelines.workspace.home import Home
from tracking.testing import failpoints

KINDS = """
study: it
data: {source: "sklearn:digits", split: {validation: 0.3, test: 0.2, seed: 1}}
model: cnn
space:
  blocks: 1
  filters: [2, 4]
  kernel_size: 3
  pooling: [max, stride]
  global_pooling: flatten
  dense_units: 0
  batch_normalization: false
  batch_size: 64
  optimizer: [adam, sgd]
  learning_rate: {type: float, low: 1e-3, high: 1e-1, log: true}
  epochs: 150
objective: {metric: val_loss, direction: minimize}
training: {early_stopping: null}
search: {sampler: random, pruner: none, seed: 2}
budget: {trials: 7}
limits: {attempts: 20}
resources: {workers: 2, fleet: 2}
tracking: {keep_models: 2}
"""
WORKER = "fleet-filled:2,checkpoint-written:2"
SUPERVISOR = ("slots-answered:3", "trial-end-recorded:2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the ends of the study's trials when nothing is killed."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder) == 0
    return list_ends(folder)


@pytest.mark.long
def test_the_study_needs_several_programs(whole):
    """Each of its kinds of programs has trials, so that fleets of several take turns."""
    poolings = [params["pooling"] for _, params, _, _ in whole]
    assert min(poolings.count(name) for name in ("max", "stride")) >= 2


@pytest.mark.long
def test_workers_that_are_killed_between_kinds_of_programs_change_no_score(whole, tmp_path):
    """Workers that die while fleets of several programs take turns lose nothing, and no trial ends twice."""
    assert run(tmp_path, WORKER) == 0
    assert len([*(tmp_path / "once").iterdir()]) == 2, "each kill has happened"
    assert_alike(list_ends(tmp_path), whole)


@pytest.mark.long
def test_supervisors_that_are_killed_between_kinds_of_programs_change_no_score(whole, tmp_path):
    """The next supervisor continues the trials of each program, and divides the others as the first one did."""
    for name in SUPERVISOR:
        assert run(tmp_path, name) == KILLED
    assert run(tmp_path) == 0
    assert_alike(list_ends(tmp_path), whole)


def run(folder, armed=""):
    """Run the study, with failpoints that each kill one process; return the exit status."""
    (folder / "once").mkdir(exist_ok=True)
    file = write_study(folder, KINDS)
    setting = {failpoints.SETTING: armed, failpoints.ONCE_SETTING: str(folder / "once")}
    done = kerastudy("--home", folder / "home", "run", file, cwd=folder, **setting)
    print(done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    if done.returncode == 0:
        assert find_broken_promises(folder / "home") == []
    return done.returncode


def list_ends(folder):
    """Return state, values, trainer and the metrics of all epochs of each trial."""
    home = Home(folder / "home", str(folder / "home"))
    with StudyReader.open(home) as reader:
        trials = reader.list_trials("it")
    assert [trial.number for trial in trials] == [*range(7)]
    curves = [[each.metrics for each in read_epochs(home.locate_trial("it", trial.number))] for trial in trials]
    return [(trial.state, trial.params, trial.trainer, curve) for trial, curve in zip(trials, curves, strict=True)]


def assert_alike(found, whole):
    """Check that trials have the same ends and curves, but for the rounding of programs of other sizes."""
    assert [trial[:3] for trial in found] == [trial[:3] for trial in whole]
    for number, (*_, ours), (*_, theirs) in zip(range(7), found, whole, strict=True):
        assert len(ours) == len(theirs), number
        for epoch, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert one == pytest.approx(other, rel=1e-4, abs=1e-5), f"trial {number}, epoch {epoch}"
