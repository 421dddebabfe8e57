"""The search for broken promises finds each kind of them; only then is an empty result worth something."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest
from fault_studies import SCRIPTED, write_study
from forked_runs import Request, run_lives
from mlflow.entities import Metric
from promises import find_broken_promises, load_acknowledged

from pipelines.workspace.home import Home
from tracking.mlflow import client as mlflow_connection
from tracking.mlflow import urls
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import ModelDisplaced
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home of an undisturbed study."""
    folder = tmp_path_factory.mktemp("undisturbed")
    file = write_study(folder, SCRIPTED.replace("trials: 6", "trials: 10"))
    [life] = run_lives(Request(str(file), str(folder / "home"), ("",), scripted=True))
    assert life.output.startswith("finished"), life.output
    return folder / "home"


def in_mlflow(home):
    """Break what MLflow holds; return nothing."""
    client = mlflow_connection.connect(urls.make_home_tracking_uri(home))
    [experiment] = [each for each in client.search_experiments() if each.name == "it"]
    runs = {run.data.tags.get("number"): run for run in client.search_runs([experiment.experiment_id])}
    tags = {"kerastudy.study": "it", "kerastudy.kind": "trial", "number": "0"}
    client.create_run(
        experiment.experiment_id, tags={**tags, "mlflow.parentRunId": runs["0"].data.tags["mlflow.parentRunId"]}
    )
    client.delete_run(runs["1"].info.run_id)
    client.log_batch(runs["2"].info.run_id, [Metric("loss", 1.0, 17, 1)])
    client.log_batch(runs["3"].info.run_id, [Metric("val_loss", 1.0, 17, 9)])
    client.set_tag(runs["4"].info.run_id, "kerastudy.state", "running")
    client.set_terminated(runs["5"].info.run_id, "KILLED")
    client.log_param(runs["6"].info.run_id, "stray", "1")
    client.log_batch(runs[None].info.run_id, [Metric("best_so_far", 1.0, 17, 3)])
    client.set_terminated(runs[None].info.run_id, "FAILED")
    client.delete_registered_model("it")


def on_disk(home):
    trials = home / "studies" / "it" / "trials"
    (trials / "0007" / "fold-0.checkpoint").write_text("")
    (trials / "0008" / "artifacts" / "saving-history.csv").write_text("")
    result = json.loads((trials / "0009" / "result.json").read_text())
    (trials / "0009" / "result.json").write_text(json.dumps({**result, "value": 17.0}))
    next(trials.glob("*/model.keras")).unlink()


def in_the_store(home):
    with Store.open(home) as store:
        queue = StudyQueue(store)
        Outbox(store).add([ModelDisplaced("it", 1)])
        queue.set_result("it", winner=17, best_value=1.0, counts={"complete": 3})
        queue.set_state("it", "running")
        queue.claim("it", "elsewhere/1/2/3", 60)


def test_an_undisturbed_study_keeps_its_promises(home):
    """Nothing is found where nothing is wrong, and all results are there."""
    assert find_broken_promises(home, models=False) == []
    assert [state for state, _ in load_acknowledged(home, "it").values()] == ["complete"] * 10


def test_each_broken_promise_is_found(home):
    """A run too many or too few, a point twice, a file left, a state that is not so: each has its line."""
    in_mlflow(home)
    on_disk(home)
    in_the_store(home)
    found = "\n".join(find_broken_promises(home, models=False))
    for expected in (
        r"not one for each: \{0: 2\}",
        r"no run of trials \[1\]",
        r"trial 2 in MLflow: loss has .* repeated \[1\]",
        r"trial 3 in MLflow: val_loss has 4 points for 3 epochs",
        r"trial 4 in MLflow: it is tagged running",
        r"trial 5 in MLflow: its run is KILLED",
        r"trial 6 in MLflow: its parameters are .*stray",
        r"the study's curve has trials more than once",
        r"the study's run is FAILED",
        r"no winner is registered",
        r"trial 7 has ended and left fold-0\.checkpoint",
        r"trial 8 has ended and left saving-history\.csv",
        r"trial 9 scored 17\.0",
        r"models are there of trials",
        r"1 rows wait for MLflow",
        r"the queue's winner is 17",
        r"the queue counts \{'complete': 3\}",
        r"its state is running",
        r"elsewhere/1/2/3 still holds it",
    ):
        assert re.search(expected, found), f"{expected} not in:\n{found}"


def test_a_trial_that_is_gone_is_missed(home):
    """A trial that is not in Optuna's tables is a gap in the numbers and in the budget."""
    with sqlite3.connect(Home(home, str(home)).folder / "kerastudy.db") as connection:
        connection.execute("DELETE FROM trials WHERE number = 4")
    connection.close()
    found = "\n".join(find_broken_promises(home, models=False))
    assert "the numbers of its trials have gaps" in found
    assert "9 trials, the budget is 10" in found
