"""Whole studies with real workers and a real MLflow: what is left on disk and shown, and what survives signals."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient
from small_studies import study_of, write_mixed_csv

from pipelines.engines.local import LocalEngine
from pipelines.export.export import export_trial
from pipelines.home import Home
from pipelines.lookup import Lookup
from pipelines.progress import EpochEnded, StudyEnded, TrialEnded
from pipelines.running import supervised
from tracking import links

MIXED = """
study: mixed
data: {source: mixed.csv, target: bought, split: {validation: 0.25, test: 0.2, seed: 1}}
model: mlp
space:
  depth: 1
  units: 4
  batch_size: 16
  epochs: 2
  optimizer: [sgd, adam]
  momentum: {type: float, low: 0.0, high: 0.9, when: {optimizer: sgd}}
  learning_rate: [0.01, 0.02, 1.0e+20]
  start_from:
    - {optimizer: sgd, momentum: 0.5, learning_rate: 0.02}
    - {optimizer: adam, learning_rate: 0.01}
    - {optimizer: sgd, momentum: 0.9, learning_rate: 1.0e+20}
objective: {metric: val_loss}
search: {sampler: random, pruner: none}
budget: {trials: 3}
resources: {workers: 2}
tracking: {keep_models: 1}
"""
UNLUCKY = """
study: unlucky
data: {source: mixed.csv, target: bought}
model: mlp
space:
  depth: 1
  units: 4
  batch_size: 4
  epochs: [2, 900000, 1000000]
  start_from: [{epochs: 900000}, {epochs: 1000000}, {epochs: 2}]
objective: {metric: val_loss}
training: {early_stopping: null}
search: {sampler: random, pruner: none}
budget: {trials: 3}
limits: {trial_time: 10s}
resources: {workers: 2, fleet: off}
"""
INTERRUPTED = """
study: interrupted
data: {source: mixed.csv, target: bought}
model: mlp
space:
  depth: 1
  units: 4
  batch_size: 1
  learning_rate: {type: float, low: 1e-4, high: 1e-2, log: true}
  epochs: 8
objective: {metric: val_loss}
training: {early_stopping: null}
search: {sampler: random, pruner: none}
budget: {trials: 3}
resources: {workers: 1, fleet: off}
"""

FLEET = """
study: fleet
data: {source: mixed.csv, target: bought}
model: mlp
space:
  depth: 1
  units: [4, 8]
  batch_size: 8
  learning_rate: {type: float, low: 1e-4, high: 1e-2, log: true}
  epochs: 300
objective: {metric: val_loss}
training: {early_stopping: null}
search: {sampler: random, pruner: none}
budget: {trials: 3}
resources: {workers: 1, fleet: 3}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("studies")
    write_mixed_csv(where / "mixed.csv", rows=800)
    return where


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    where = tmp_path_factory.mktemp("home")
    return Home(where, str(where))


@pytest.fixture(scope="module")
def _no_server_of_the_environment():
    """Let MLflow be under the home, whatever the environment says."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="module")
def mixed(folder, home, _no_server_of_the_environment):
    """The study `mixed`, run: everything that its supervisor said."""
    with supervised(study_of(MIXED, folder), home) as supervisor:
        return list(supervisor.run())


class Shown:
    """What MLflow shows of a study."""

    def __init__(self, home, study):
        self.client = MlflowClient(links.resolve(home.folder, {}))
        self.experiment = self.client.get_experiment_by_name(study)
        runs = self.client.search_runs([self.experiment.experiment_id])
        self.parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        self.parent = self.parents[0]
        children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == self.parent.info.run_id]
        self.trials = sorted(children, key=lambda run: int(run.data.tags["number"]))

    def curve(self, run, metric):
        return [(point.step, point.value) for point in self.client.get_metric_history(run.info.run_id, metric)]

    def artifacts(self, run):
        return {file.path for file in self.client.list_artifacts(run.info.run_id)}


@pytest.fixture(scope="module")
def shown(mixed, home):
    return Shown(home, "mixed")


def test_a_study_ends_with_a_winner(mixed):
    """Three trials of three, one of them failed; the better of the others won and was scored on the test rows."""
    last = mixed[-1]
    assert isinstance(last, StudyEnded)
    assert (last.state, last.reason, last.trials) == ("finished", "3 trials", {"complete": 2, "failed": 1})
    assert last.winner in (0, 1)
    assert 0 < last.test["test_accuracy"] <= 1
    assert (last.undelivered, last.undelivered_error) == (0, "")


def test_a_loss_that_is_no_number_is_that_trials_failure(mixed, home):
    """A learning rate beyond reason costs its own trial, with the metric and the epoch as the reason."""
    [failed] = [event for event in mixed if isinstance(event, TrialEnded) and event.state == "failed"]
    assert failed.number == 2
    assert failed.reason in ("loss became nan in epoch 1", "loss became inf in epoch 1")
    assert "TrialError" in (home.trial("mixed", 2) / "artifacts" / "traceback.txt").read_text()


def test_mlflow_has_one_run_for_the_study_and_one_for_each_trial(shown):
    """The trials are children of the study's run, named by study and number, with their states."""
    assert len(shown.parents) == 1
    assert shown.parent.info.run_name == "mixed"
    assert [run.info.run_name for run in shown.trials] == ["mixed-t000", "mixed-t001", "mixed-t002"]
    assert [run.info.status for run in shown.trials] == ["FINISHED", "FINISHED", "FAILED"]
    assert [run.data.tags["kerastudy.state"] for run in shown.trials] == ["complete", "complete", "failed"]
    assert "epoch 1" in shown.trials[2].data.tags["mlflow.note.content"]
    assert shown.parent.info.status == "FINISHED"


def test_mlflow_has_the_active_hyperparameters(shown):
    """A trial shows the values that it had, and none of a parameter that did not exist in it."""
    with_momentum, without, _ = (run.data.params for run in shown.trials)
    fixed = {"depth": "1", "units": "4", "batch_size": "16", "epochs": "2"}
    assert with_momentum == {**fixed, "optimizer": "sgd", "momentum": "0.5", "learning_rate": "0.02"}
    assert without == {**fixed, "optimizer": "adam", "learning_rate": "0.01"}


def test_mlflow_has_every_epoch(shown, home, mixed):
    """A point for each epoch and metric, the same as in the trial's own file, and the best of them."""
    for number in (0, 1):
        with (home.trial("mixed", number) / "artifacts" / "history.csv").open() as file:
            rows = list(csv.DictReader(file))
        for metric in ("loss", "val_loss", "val_accuracy"):
            expected = [(int(row["epoch"]), float(row[metric])) for row in rows]
            assert shown.curve(shown.trials[number], metric) == expected
        best = min(float(row["val_loss"]) for row in rows)
        assert shown.trials[number].data.metrics["best_val_loss"] == best
    assert shown.parent.data.metrics["best_val_loss"] == mixed[-1].value


def test_mlflow_has_the_files(shown):
    """Each trial carries its files, a failed one its traceback; the study carries its report."""
    complete, _, failed = (shown.artifacts(run) for run in shown.trials)
    assert {"history.csv", "learning_curve.png", "config.json", "model_summary.txt", "worker.log"} <= complete
    assert {"traceback.txt", "worker.log"} <= failed
    expected = {"study.yaml", "space.yaml", "environment.json", "data.json", "split.csv", "trials.csv", "report.html"}
    assert expected <= shown.artifacts(shown.parent)


def test_mlflow_has_the_data(shown, home):
    """Parent and children name the data set that they saw."""
    summary = json.loads((home.data("mixed") / "summary.json").read_text())
    for run in (shown.parent, *shown.trials):
        [used] = run.inputs.dataset_inputs
        assert used.dataset.name == "mixed"
        assert summary["digest"].startswith(used.dataset.digest)


def test_mlflow_has_the_winners_model(shown, mixed, home):
    """Of `keep_models: 1` one model is left, the winner's; it is registered under the study's name with its alias."""
    models = shown.client.search_logged_models([shown.experiment.experiment_id])
    winner = shown.trials[mixed[-1].winner]
    assert [model.name for model in models] == [winner.info.run_name]
    version = shown.client.get_model_version_by_alias("mixed", "champion")
    assert version.run_id == winner.info.run_id
    kept = [file.parent.name for file in home.study("mixed").glob("trials/*/model.keras")]
    assert kept == [f"{mixed[-1].winner:04d}"]
    assert winner.data.metrics["test_accuracy"] == mixed[-1].test["test_accuracy"]


def test_the_winner_is_exported_by_a_worker(mixed, home, tmp_path):
    """A worker process writes the winner in both formats and proves them equal."""
    engine = LocalEngine(1)
    try:
        parities = export_trial(home, "mixed", mixed[-1].winner, ["keras", "saved_model"], tmp_path / "out", engine)
    finally:
        engine.close()
    assert [parity.format for parity in parities] == ["keras", "saved_model"]
    assert all(parity.largest_difference <= 1e-6 for parity in parities)


def test_lost_and_slow_workers_cost_their_trials(folder, home, _no_server_of_the_environment):
    """A worker that is killed, and one that takes too long, are that trial's failure; the study goes on."""
    ended = {}
    with supervised(study_of(UNLUCKY, folder), home) as supervisor:
        for event in supervisor.run():
            if isinstance(event, EpochEnded) and event.number == 0 and 0 not in ended and event.epoch == 2:
                os.kill(supervisor._engine._busy["trial-0"].process.pid, signal.SIGKILL)
            if isinstance(event, TrialEnded):
                ended[event.number] = event
    assert event.trials == {"complete": 1, "failed": 2}
    assert (event.state, event.winner) == ("finished", 2)
    assert "killed by SIGKILL" in ended[0].reason
    assert ended[1].reason == "over its time limit of 10 s"
    shown = Shown(home, "unlucky")
    assert [run.info.status for run in shown.trials] == ["FAILED", "FAILED", "FINISHED"]
    assert "over its time limit" in shown.trials[1].data.tags["mlflow.note.content"]
    assert len(shown.curve(shown.trials[0], "val_loss")) >= 2, "what was reported before the end is kept"


def test_a_fleet_whose_worker_is_killed_goes_on_where_it_was(folder, home, _no_server_of_the_environment):
    """Its trials are finished by other fleets, from their last checkpoints, and each epoch is shown once."""
    killed_at, begun = 0, time.monotonic()
    with supervised(study_of(FLEET, folder), home) as supervisor:
        for event in supervisor.run():
            checkpoints = list((home.study("fleet") / "trials").glob("*/fold-0.checkpoint"))
            if isinstance(event, EpochEnded) and not killed_at and len(checkpoints) == 3:
                os.kill(supervisor._engine._busy["fleet-1"].process.pid, signal.SIGKILL)
                killed_at = event.epoch
    assert event.trials == {"complete": 3}, (killed_at, time.monotonic() - begun)
    logs = [file.read_text() for file in sorted(home.study("fleet").glob("fleet-*.log"))]
    assert sum(log.count("goes on after epoch") for log in logs) == 3
    shown = Shown(home, "fleet")
    assert [[step for step, _ in shown.curve(run, "val_loss")] for run in shown.trials] == [list(range(300))] * 3
    assert not list((home.study("fleet") / "trials").glob("*/*checkpoint*"))


# Signals -----------------------------------------------------------------------------------------------------


def run_until(folder, home, signal_number=None, *, trial=0):
    """Run `kerastudy run`; send it a signal in the middle of a trial, where one is named. Return its exit code."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "--home", str(home.folder)]
    with (folder / "output.txt").open("a") as output:
        process = subprocess.Popen(
            [*command, "run", str(folder / "interrupted.yaml")], env=environment, stdout=output, stderr=output
        )
    try:
        if signal_number is not None:
            epochs = home.trial("interrupted", trial) / "fold-0-epochs.jsonl"
            deadline = time.monotonic() + 180
            while not (epochs.exists() and epochs.read_text().count('"epoch"') >= 2):
                assert process.poll() is None, (folder / "output.txt").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal_number)
        return process.wait(timeout=90)
    finally:
        process.kill()
        process.wait()


def test_a_study_survives_an_interrupt_and_a_kill(folder, tmp_path):
    """Ctrl-C parks with exit code 130, kill -9 cannot be answered; then the same command meets the same budget."""
    home = Home(tmp_path / "home", str(tmp_path / "home"))
    (folder / "interrupted.yaml").write_text(INTERRUPTED)
    assert run_until(folder, home, signal.SIGINT, trial=0) == 130
    with Lookup.open(home) as lookup:
        assert lookup.study("interrupted").state == "parked"
        [cut_off] = lookup.trials("interrupted")
    assert cut_off.state == "running"
    assert run_until(folder, home, signal.SIGKILL, trial=1) == -signal.SIGKILL
    assert run_until(folder, home) == 0, (folder / "output.txt").read_text()
    with Lookup.open(home) as lookup:
        trials = lookup.trials("interrupted")
        assert lookup.study("interrupted").waiting_for_mlflow == 0
    assert [(trial.number, trial.state) for trial in trials] == [(number, "complete") for number in range(3)]
    assert trials[0].params["learning_rate"] == cut_off.params["learning_rate"]
    shown = Shown(home, "interrupted")
    assert len(shown.parents) == 1
    assert [run.info.run_name for run in shown.trials] == [f"interrupted-t00{number}" for number in range(3)]
    assert {run.info.status for run in (shown.parent, *shown.trials)} == {"FINISHED"}
    for run in shown.trials:
        assert [step for step, _ in shown.curve(run, "val_loss")] == list(range(8)), "each epoch is there once"
