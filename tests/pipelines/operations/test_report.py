"""Reports of studies in every state, read from the store and the files alone."""

from __future__ import annotations

import json

import optuna
import pytest
from desk import Desk, scores
from fake_engine import Ends, FakeEngine

from pipelines.operations.report import draw_study_figures, read_report, write_report
from pipelines.operations.submit import submit_study
from pipelines.search.trial_summaries import RESULT, TrialSummary
from pipelines.workspace.home import Home
from search_spaces.errors import InputError, UnknownError
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home", str(tmp_path / "home"))


@pytest.fixture
def desk(home, monkeypatch):
    monkeypatch.setattr("tracking.reports.study_report.write_pngs", lambda figures, folder: ())
    with Store.open(home.store) as store:
        yield Desk(store, home)


def test_a_finished_study(desk, home, tmp_path):
    """The page made later has the result, the failure and its reason, as the page of the study's run has."""
    desk.run(FakeEngine(scores(3.0, Ends("error", "loss became nan in epoch 1"), 2.0)), trials=3)
    written = write_report(home, "it", tmp_path / "it.html")
    page = (tmp_path / "it.html").read_text(encoding="utf-8")
    assert written.bytes == len(page.encode())
    for text in (
        "Winner: val_loss 2, trial 2",
        "2 complete, 1 failed",
        "loss became nan in epoch 1",
        "digest of the data",
    ):
        assert text in page
        assert text in (home.locate_report("it") / "report.html").read_text(encoding="utf-8")


def test_a_report_has_what_the_store_has(desk, home):
    """Trials, parameters with their ranges, budget and the objective are those of the study."""
    desk.run(FakeEngine(scores(3.0, 2.0)), trials=4)
    report = read_report(home, "it")
    assert (report.metric, report.direction, report.budget, report.state) == ("val_loss", "minimize", 4, "finished")
    assert [trial.number for trial in report.trials] == [0, 1, 2, 3]
    assert all(trial.ended and trial.started and trial.ended >= trial.started for trial in report.trials)
    (rate,) = [parameter for parameter in report.parameters if parameter.name == "learning_rate"]
    assert (rate.low, rate.high, rate.is_log) == (1e-4, 1.0, True)
    assert "optimization-history" in draw_study_figures(home, "it")


def test_a_study_that_waits(desk, home):
    """Before its data is read a study has a report of what will be searched."""
    study = desk.study()
    with desk.store.write() as connection:
        submit_study(study, StudyQueue(desk.store), connection)
    report = read_report(home, "it")
    assert (report.state, report.trials, report.winner) == ("queued", (), None)
    assert report.parameters
    assert report.source == "data.csv"


def test_a_study_of_a_tuner(desk, home):
    """A study of KerasTuner's own tuner has its trials; ranges and data are known to the tuner alone."""
    document = json.dumps({"metric": "val_loss", "direction": "minimize", "trials": 3})
    StudyQueue(desk.store).enqueue("keras_tuner/t", document, "", folder=home.folder)
    study = optuna.create_study(storage=desk.store.open_optuna_storage(), study_name="keras_tuner/t")
    for number in range(3):
        summary = TrialSummary(number, "complete", 1.0 / (number + 1), {"units": number}, 1)
        distributions = {"units": optuna.distributions.IntDistribution(0, 9)}
        study.add_trial(
            optuna.create_trial(
                value=summary.value, params={"units": number}, distributions=distributions,
                user_attrs={RESULT: summary.to_result()},
            )
        )  # fmt: skip
    report = read_report(home, "keras_tuner/t")
    assert report.winner == 2
    assert [parameter.name for parameter in report.varied] == ["units"]


def test_unknown_studies_and_folders(desk, home, tmp_path):
    """An unknown study, and a folder in place of a file, are errors; nothing is written."""
    desk.run(FakeEngine(scores(1.0)), trials=1)
    with pytest.raises(UnknownError, match='no study "at"'):
        read_report(home, "at")
    with pytest.raises(InputError, match="got a folder"):
        write_report(home, "it", tmp_path)
    with pytest.raises(InputError, match="there are no studies"):
        read_report(Home.find(str(tmp_path / "empty")), "it")
