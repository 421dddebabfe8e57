"""Whole studies with real workers and a real MLflow: what is left on disk and shown, and what survives signals."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from browser import browsing, keep_picture, needs_browser
from mlflow import MlflowClient
from mlflow_serving import serve_model
from small_studies import study_of, write_mixed_csv

from pipelines.engines.local_engine import LocalEngine
from pipelines.export.export import ExportSource, export_trial
from pipelines.operations.run import supervise
from pipelines.queries.study_reader import StudyReader
from pipelines.supervisor.events import EpochEnded, StudyEnded, TrialEnded
from pipelines.workspace.home import Home
from tracking.mlflow import server, urls
from tracking.mlflow.client import set_default

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
resources: {workers: 2, fleet: off}
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
limits: {trial_time: 10m, attempts: 1}
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

# Its epochs last long enough for a checkpoint of each trial, a second after its start, and a kill in the middle.
FLEET = """
study: fleet
data: {source: mixed.csv, target: bought}
model: mlp
space:
  depth: 2
  units: [32, 48]
  batch_size: 1
  learning_rate: {type: float, low: 1e-4, high: 1e-2, log: true}
  epochs: 300
objective: {metric: val_loss}
training: {early_stopping: null}
search: {sampler: random, pruner: none}
budget: {trials: 3}
resources: {workers: 1, fleet: 3}
"""


ASKED = [  # what a table may hold: gaps in a column of numbers and in one of text, and a city of another country
    {"age": 40, "a b": 0.5, "x/y": 1, "\u00e9": 0.25, "dense": 0, "city": "Rome"},
    {"age": None, "a b": 1, "x/y": 3, "\u00e9": 0.5, "dense": 1, "city": None},
    {"age": 25, "a b": -1.5, "x/y": 0, "\u00e9": 1, "dense": 1, "city": "Atlantis"},
]


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
    """Let MLflow be under the home, whatever the environment names."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="module")
def mixed(folder, home, _no_server_of_the_environment):
    """The study `mixed`, run: all events of its supervisor."""
    with supervise(study_of(MIXED, folder), home) as supervisor:
        return list(supervisor.run())


class Shown:
    """What MLflow shows of a study."""

    def __init__(self, home, study):
        self.client = MlflowClient(urls.resolve_tracking_uri(home.folder, {}))
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
    assert "TrialError" in (home.locate_trial("mixed", 2) / "artifacts" / "traceback.txt").read_text()


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
        with (home.locate_trial("mixed", number) / "artifacts" / "history.csv").open() as file:
            rows = list(csv.DictReader(file))
        for metric in ("loss", "val_loss", "val_accuracy"):
            expected = [(int(row["epoch"]) + 1, float(row[metric])) for row in rows]
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


def test_mlflow_has_the_winners_evaluation(mixed, shown):
    """The winner's run alone carries a summary of its predictions, as pictures and metrics that training lacks."""
    winner = shown.trials[mixed[-1].winner]
    files = {file.path for file in shown.client.list_artifacts(winner.info.run_id, "evaluation")}
    assert {f"evaluation/{name}" for name in ("evaluation.json", "confusion-matrix.png", "roc.png")} <= files
    assert {"test_calibration_error", "test_roc_auc"} <= winner.data.metrics.keys()
    assert [run for run in shown.trials if "evaluation" in shown.artifacts(run)] == [winner]


def test_mlflow_has_the_data(shown, home):
    """Parent and children name the data set that they saw."""
    summary = json.loads((home.locate_data("mixed") / "summary.json").read_text())
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
    kept = [file.parent.name for file in home.locate_study("mixed").glob("trials/*/model.keras")]
    assert kept == [f"{mixed[-1].winner:04d}"]
    assert winner.data.metrics["test_accuracy"] == mixed[-1].test["test_accuracy"]


@pytest.fixture(scope="module")
def answered(mixed, home):
    """What the registered winner answers where `mlflow.pyfunc` loads it, and what the Keras model does."""
    before = mlflow.get_tracking_uri()
    set_default(urls.resolve_tracking_uri(home.folder, {}))
    try:
        with warnings.catch_warnings(action="ignore"):  # of the loader's types, and of what MLflow imports
            loaded = mlflow.pyfunc.load_model("models:/mixed@champion")
            network = mlflow.tensorflow.load_model("models:/mixed@champion")
    finally:
        set_default(before)
    raw = json.loads((home.locate_data("mixed") / "summary.json").read_text())["raw"]
    return {
        "keras": network({column["name"]: to_tensor(column) for column in raw}).numpy().tolist(),
        "pyfunc": loaded.predict(pd.DataFrame(ASKED)).tolist(),
        "example": loaded.predict(loaded.input_example).shape,
        "columns": loaded.metadata.get_input_schema().input_names(),
    }


def to_tensor(column):
    """Return what a raw column of the asked rows is to the Keras model."""
    values = [row[column["column"]] for row in ASKED]
    if column["dtype"] == "string":
        return tf.constant(["" if value is None else value for value in values])
    return tf.constant([float("nan") if value is None else value for value in values], tf.float32)


def test_the_champion_answers_raw_columns(answered):
    """`models:/mixed@champion` takes a DataFrame under the source's names and answers as the Keras model does."""
    assert answered["pyfunc"] == pytest.approx(np.array(answered["keras"]), abs=1e-6)
    assert len({tuple(row) for row in answered["keras"]}) == len(ASKED)
    assert answered["columns"] == ["age", "a b", "x/y", "\u00e9", "dense", "city"]
    assert answered["example"] == (3, 1)


@pytest.mark.long
def test_mlflow_serves_the_champion(answered, home, tmp_path):
    """`mlflow models serve` answers rows with text, gaps and an unseen category, in each of its forms of JSON."""
    names = list(ASKED[0])
    forms = {
        "dataframe_split": {"columns": names, "data": [list(row.values()) for row in ASKED]},
        "dataframe_records": ASKED,
        "inputs": {name: [row[name] for row in ASKED] for name in names},
    }
    with serve_model("models:/mixed@champion", urls.resolve_tracking_uri(home.folder, {}), tmp_path / "log") as address:
        for form, rows in forms.items():
            answer = httpx.post(f"{address}/invocations", json={form: rows}, timeout=60)
            assert answer.status_code == 200, answer.text
            assert answer.json()["predictions"] == pytest.approx(np.array(answered["keras"]), abs=1e-6), form
        wrong = httpx.post(
            f"{address}/invocations", json={"dataframe_records": [{**ASKED[0], "age": "old"}]}, timeout=120
        )
        assert (wrong.status_code, "expected a number, got 'old' in row 0" in wrong.json()["message"]) == (400, True)


@needs_browser
@pytest.mark.parametrize("page", ["study", "leaderboard", "trial", "charts", "curves", "coordinates", "model"])
def test_a_person_looks_at_the_study_in_mlflow(page, looked_at):
    """Each page of MLflow's UI that our links lead to shows the study, and nothing of a page that is empty."""
    assert [text for text in PAGES[page] if text not in looked_at[page]] == []


@needs_browser
def test_the_charts_of_a_trial_begin_with_its_curves(looked_at):
    """The first chart has a point for each epoch; values with one point come after all curves."""
    shown = looked_at["charts"]
    assert shown.index("\nval_loss\n") < shown.index("\nModel metrics\n(")
    assert looked_at["points of the first chart"] == 2


@pytest.fixture(scope="module")
def looked_at(mixed, shown, home, tmp_path_factory):
    """The text of each page as a browser shows it; pictures go where `KERASTUDY_TEST_PICTURES` names."""
    scratch, found = tmp_path_factory.mktemp("browser"), {}
    with contextlib.ExitStack() as running:
        base = running.enter_context(server.serve(home.folder, {}, port=server.find_free_port("127.0.0.1", 0)))
        browser = running.enter_context(browsing(scratch))
        for page, address in make_addresses(base, shown).items():
            found[page] = browser.read(address, *PAGES[page])
            if page == "charts":
                found["points of the first chart"] = browser.run(FIRST_CHART)
            browser.picture(scratch / f"mlflow-{page}.png", 1600, dark=False)
            keep_picture(scratch / f"mlflow-{page}.png")
    return found


# MLflow draws a chart when its points have come.
FIRST_CHART = """(async () => {
    for (let look = 0; look < 300; look += 1) {
        const chart = document.querySelector(".js-plotly-plot");
        if (chart?.data?.length) return chart.data[0].x.length;
        await new Promise((resolve) => setTimeout(resolve, 200));
    }
    return 0;
})()"""
PAGES = {
    "study": ("mixed", "4 matching runs"),
    "leaderboard": ("Leaderboard mixed", "best_val_loss", "mixed-t000", "mixed-t002"),
    "trial": ("mixed-t000", "learning_rate", "sgd", "best_val_loss"),
    "charts": ("mixed-t000", "\ncurves\n", "\nval_loss\n", "\nModel metrics\n("),
    "curves": ("mixed-t000", "mixed-t001", "val_loss"),
    "coordinates": ("Parallel Coordinates Plot", "mixed-t000", "mixed-t001"),
    "model": ("Version 1", "champion"),
}


def make_addresses(base, shown):
    """Return the address of each page, those that MLflow offers for several runs included."""
    experiment, trials = shown.experiment.experiment_id, [run.info.run_id for run in shown.trials[:2]]
    view = next(
        name.rpartition(".")[2]
        for name, text in shown.experiment.tags.items()
        if name.startswith("mlflow.sharedViewState.") and "Leaderboard" in text
    )
    several = f"runs={json.dumps(trials)}&experiments={json.dumps([experiment])}"
    plotted = f"metric={json.dumps('val_loss')}&plot_metric_keys={json.dumps(['val_loss'])}"
    return {
        "study": urls.make_experiment_url(base, experiment),
        "leaderboard": urls.make_leaderboard_url(base, experiment, view),
        "trial": urls.make_run_url(base, experiment, trials[0]),
        "charts": urls.make_run_url(base, experiment, trials[0]).replace("?", "/model-metrics?"),
        "curves": f"{base}/#/metric?{several}&{plotted}&workflowType=machine_learning",
        "coordinates": f"{base}/#/compare-runs?{several}&workflowType=machine_learning",
        "model": urls.make_registered_model_url(base, "mixed"),
    }


@pytest.mark.long
def test_the_winner_is_exported_by_a_worker(mixed, home, tmp_path):
    """A worker process writes the winner in both formats and proves them equal."""
    engine = LocalEngine(1, user_code=False)
    try:
        parities = export_trial(
            ExportSource.from_home(home, "mixed", mixed[-1].winner), ["keras", "saved_model"], tmp_path / "out", engine
        )
    finally:
        engine.close()
    assert [parity.format for parity in parities] == ["keras", "saved_model"]
    assert all(parity.largest_difference <= 1e-6 for parity in parities)


@pytest.mark.long
def test_lost_and_slow_workers_cost_their_trials(folder, home, _no_server_of_the_environment):
    """A worker that is killed, and one that takes too long, are that trial's failure; the study goes on."""
    ended = {}
    with supervise(study_of(UNLUCKY, folder), home) as supervisor:
        for event in supervisor.run():
            if isinstance(event, EpochEnded) and event.epoch >= 2 and event.number not in ended:
                worker = supervisor._engine._busy.get(f"trial-{event.number}")
                if worker is not None and event.number == 0:
                    worker.process.kill()
                if worker is not None and event.number == 1:
                    worker.started_at -= 600  # instead of ten minutes
            if isinstance(event, TrialEnded):
                ended[event.number] = event
    assert event.trials == {"complete": 1, "failed": 2}
    assert (event.state, event.winner) == ("finished", 2)
    assert (event.undelivered, event.undelivered_error) == (0, "")
    assert "killed by SIGKILL" in ended[0].reason
    assert ended[1].reason == "over its time limit of 600 s"
    shown = Shown(home, "unlucky")
    assert [run.info.status for run in shown.trials] == ["FAILED", "FAILED", "FINISHED"]
    assert "over its time limit" in shown.trials[1].data.tags["mlflow.note.content"]
    assert len(shown.curve(shown.trials[0], "val_loss")) >= 2, "what was reported before the end is kept"


@pytest.mark.long
def test_a_fleet_whose_worker_is_killed_goes_on_where_it_was(folder, home, _no_server_of_the_environment):
    """Its trials are finished by other fleets, from their last checkpoints, and each epoch is shown once."""
    killed_at, begun = 0, time.monotonic()
    with supervise(study_of(FLEET, folder), home) as supervisor:
        for event in supervisor.run():
            checkpoints = list((home.locate_study("fleet") / "trials").glob("*/fold-0.checkpoint"))
            if isinstance(event, EpochEnded) and not killed_at and len(checkpoints) == 2:
                os.kill(supervisor._engine._busy["fleet-1"].process.pid, signal.SIGKILL)
                killed_at = event.epoch
    assert event.trials == {"complete": 3}, (killed_at, time.monotonic() - begun)
    logs = [file.read_text() for file in sorted(home.locate_study("fleet").glob("fleet-*.log"))]
    # The third one may have begun, too late for a checkpoint.
    assert sum(log.count("resumes after epoch") for log in logs) in (2, 3)
    shown = Shown(home, "fleet")
    assert [[step for step, _ in shown.curve(run, "val_loss")] for run in shown.trials] == [list(range(1, 301))] * 3
    assert not list((home.locate_study("fleet") / "trials").glob("*/*checkpoint*"))


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
            epochs = home.locate_trial("interrupted", trial) / "fold-0-epochs.jsonl"
            deadline = time.monotonic() + 180
            while not (epochs.exists() and epochs.read_text().count('"epoch"') >= 2):
                assert process.poll() is None, (folder / "output.txt").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal_number)
        return process.wait(timeout=300)
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_study_survives_an_interrupt_and_a_kill(folder, tmp_path):
    """Ctrl-C pauses with exit code 130, kill -9 cannot be answered; then the same command meets the same budget."""
    home = Home(tmp_path / "home", str(tmp_path / "home"))
    (folder / "interrupted.yaml").write_text(INTERRUPTED)
    assert run_until(folder, home, signal.SIGINT, trial=0) == 130
    with StudyReader.open(home) as reader:
        assert reader.read_study("interrupted").state == "paused"
        [cut_off] = reader.list_trials("interrupted")
    assert cut_off.state == "running"
    assert run_until(folder, home, signal.SIGKILL, trial=1) == -signal.SIGKILL
    assert run_until(folder, home) == 0, (folder / "output.txt").read_text()
    with StudyReader.open(home) as reader:
        trials = reader.list_trials("interrupted")
        assert reader.read_study("interrupted").waiting_for_mlflow == 0
    assert [(trial.number, trial.state) for trial in trials] == [(number, "complete") for number in range(3)]
    assert trials[0].params["learning_rate"] == cut_off.params["learning_rate"]
    shown = Shown(home, "interrupted")
    assert len(shown.parents) == 1
    assert [run.info.run_name for run in shown.trials] == [f"interrupted-t00{number}" for number in range(3)]
    assert {run.info.status for run in (shown.parent, *shown.trials)} == {"FINISHED"}
    for run in shown.trials:
        assert [step for step, _ in shown.curve(run, "val_loss")] == list(range(8)), "each epoch is there once"
