"""The records and files of a study, where scripted trials do not show it: folds, reports, and the lease."""

from __future__ import annotations

import csv
import json
import time
import zipfile

import pytest
from desk import SUMMARY, Desk, scores
from fake_engine import Ends, FakeEngine
from small_studies import study_of

from pipelines.data.prepared import DataSummary
from pipelines.operations.submit import enqueue
from pipelines.recording.provenance import describe_environment, hash_code
from pipelines.recording.recorder import Recorder
from pipelines.recording.records import StudyOutcome
from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.trial_summaries import TrialSummary
from pipelines.study.context import StudyContext
from pipelines.study.objective import Objective
from pipelines.training.messages import EpochDone
from pipelines.training.trial_folder import MODEL_FILE, WEIGHTS_FILE
from pipelines.workspace.home import Home
from search_spaces.parse import parse_space
from search_spaces.yaml_reader import read_document
from tracking.outbox.records import EpochsRecorded, ModelKept, StudyClosed, TrialFinished
from tracking.store.retrainings import Retraining

LOSS = Objective("val_loss", "minimize")


@pytest.fixture
def desk(store, tmp_path):
    return Desk(store, Home(tmp_path / "home", str(tmp_path / "home")))


@pytest.fixture
def recorder(desk):
    """Return a function that makes a recorder of an opened study."""

    def make(check=lambda connection: None, folds=1, clock=time.monotonic):
        study = desk.study()
        enqueue(study, SUMMARY, desk.store)
        search = OptunaSearch(
            desk.store.open_optuna_storage(), "it", SearchSettings(study.space, LOSS, study.spec.search, 3)
        )
        context = StudyContext.from_study(study, DataSummary(**{**vars(SUMMARY), "folds": folds}), desk.home)
        made = Recorder(context, desk.store, search, check, clock)
        desk.home.locate_data("it").mkdir(parents=True, exist_ok=True)
        (desk.home.locate_data("it") / "split.csv").write_text("row,part\n0,train\n")
        made.record_study_start()
        return made

    return make


def epoch(number, fold, loss):
    return EpochDone(number, 2, fold, 1_750_000_000_000 + number, {"val_loss": loss})


class Trial:
    """A trial under way."""

    def __init__(self, number, unsent):
        self.number = number
        self.unsent = unsent
        self.retraining = ""


def test_the_files_of_an_opened_study(desk, recorder):
    """The study's run gets the file as it was checked, the space in full, environment, code, data and split."""
    recorder()
    folder = desk.home.locate_report("it")
    again = study_of((folder / "study.yaml").read_text())
    assert again.spec == desk.study().spec
    assert parse_space(read_document(folder / "space.yaml"), ()) == desk.study().space
    assert json.loads((folder / "environment.json").read_text()) == describe_environment()
    assert json.loads((folder / "code.json").read_text()) == hash_code(desk.study())
    assert json.loads((folder / "data.json").read_text())["digest"] == SUMMARY.digest
    assert (folder / "split.csv").read_text() == "row,part\n0,train\n"


def test_folds_have_metrics_of_their_own_and_a_mean(desk, recorder):
    """Each fold's epochs carry the fold's number; without it stands the mean of the folds."""
    made = recorder(folds=2)
    folder = desk.home.locate_trial("it", 0)
    folder.mkdir(parents=True)
    unsent = [epoch(0, 0, 1.0), epoch(0, 1, 3.0)]
    trial = TrialSummary(0, "pruned", 2.0, {}, 1)
    made.record_trial_end(trial, unsent, best_so_far=None, curve=[epoch(0, 0, 2.0)])
    points = [metrics for record in desk.records(EpochsRecorded) for _, _, metrics in record.epochs]
    assert points == [{"fold_1/val_loss": 1.0}, {"fold_2/val_loss": 3.0}, {"val_loss": 2.0}]


def test_a_retraining_over_folds_has_their_mean_too(desk, recorder):
    """Its score is the best of that curve, which could not be seen."""
    made = recorder(folds=2)
    retraining = Retraining("it", 0, "seed-1", 1, "complete", 2.0, (2.0,), {}, 1, 1.0, 1, 2)
    made.record_retraining_end(
        retraining, [epoch(0, 0, 1.0), epoch(0, 1, 3.0)], keeps_model=False, curve=[epoch(0, 0, 2.0)]
    )
    points = [metrics for record in desk.records(EpochsRecorded) for _, _, metrics in record.epochs]
    assert points == [{"fold_1/val_loss": 1.0}, {"fold_2/val_loss": 3.0}, {"val_loss": 2.0}]


def test_epochs_are_passed_on_once_and_at_most_once_a_second(desk, recorder):
    """Epochs gather for a second; then they go on in one go, and are not sent again."""
    clock = [100.0]
    made = recorder(clock=lambda: clock[0])
    trials = [Trial(0, [epoch(0, 0, 1.0)]), Trial(1, []), Trial(2, [epoch(0, 0, 2.0), epoch(1, 0, 1.5)])]
    made.flush_epochs(trials)
    trials[1].unsent.append(epoch(0, 0, 3.0))
    clock[0] += 0.5
    made.flush_epochs(trials)
    assert [record.number for record in desk.records(EpochsRecorded)] == [0, 2]
    clock[0] += 0.6
    made.flush_epochs(trials)
    assert [record.number for record in desk.records(EpochsRecorded)] == [0, 2, 1]
    assert all(trial.unsent == [] for trial in trials)


def test_epochs_of_many_trials_gather_for_longer(desk, recorder):
    """At most a hundred records a second, however many trials run."""
    clock = [100.0]
    made, trials = recorder(clock=lambda: clock[0]), [Trial(number, []) for number in range(1000)]
    for second in range(30):
        for trial in trials:
            trial.unsent.append(epoch(second, 0, 1.0))
        clock[0] += 1.0
        made.flush_epochs(trials)
    written = desk.records(EpochsRecorded)
    assert 2000 <= len(written) <= 30 * 100
    assert sum(len(record.epochs) for record in written) + sum(len(trial.unsent) for trial in trials) == 30_000


def test_a_trial_under_way_has_no_end(recorder):
    """Recording the end of a trial that has none is a defect, and raises an error."""
    with pytest.raises(ValueError, match="trial 4 has not ended"):
        recorder().record_trial_end(TrialSummary(4, "running", None, {}), [], best_so_far=None)


def write_model(folder):
    with zipfile.ZipFile(folder / MODEL_FILE, "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"name": folder.name}}))


def test_models_that_fleets_left_unwritten(desk, recorder):
    """Of the best trials those are missing that left their weights alone; what is written then is recorded."""
    made = recorder()
    for number in range(5):  # the best three of them are kept
        folder = desk.home.locate_trial("it", number)
        folder.mkdir(parents=True)
        if number == 4:
            write_model(folder)
        else:
            (folder / WEIGHTS_FILE).write_bytes(b"")
        made.record_trial_end(TrialSummary(number, "complete", 5.0 - number, {}, 1), [], best_so_far=None)
    made.record_trial_end(TrialSummary(5, "pruned", 0.1, {}, 1), [], best_so_far=None)
    assert sorted(made.find_missing_models()) == [2, 3]
    write_model(desk.home.locate_trial("it", 2))
    made.record_written_models()
    [kept] = desk.records(ModelKept)
    folder = desk.home.locate_trial("it", 2)
    assert kept == ModelKept("it", 2, str(folder / "artifacts"), str(folder / "mlflow_model"))
    assert (folder / "mlflow_model" / "data" / "model.keras").read_bytes() == (folder / MODEL_FILE).read_bytes()
    assert made.find_missing_models() == (3,)


def test_models_are_recorded_again_after_a_crash(desk, recorder):
    """A kill between a model's file and its record loses nothing: all that is kept is recorded, however often."""
    made = recorder()
    folder = desk.home.locate_trial("it", 0)
    folder.mkdir(parents=True)
    (folder / WEIGHTS_FILE).write_bytes(b"")
    made.record_trial_end(TrialSummary(0, "complete", 1.0, {}, 1), [], best_so_far=None)
    write_model(folder)
    made.record_written_models()
    made.record_written_models()
    assert desk.records(ModelKept) == [ModelKept("it", 0, str(folder / "artifacts"), str(folder / "mlflow_model"))] * 2


def test_a_displaced_trial_keeps_its_weights(desk, recorder):
    """Its model and what MLflow has of it go; the weights stay, so that it can still be exported."""
    made = recorder()
    for number in range(4):
        folder = desk.home.locate_trial("it", number)
        folder.mkdir(parents=True)
        (folder / WEIGHTS_FILE).write_bytes(b"")
        write_model(folder)
        made.record_trial_end(TrialSummary(number, "complete", 5.0 - number, {}, 1), [], best_so_far=None)
    assert sorted(file.name for file in desk.home.locate_trial("it", 0).iterdir()) == [WEIGHTS_FILE]


def test_nothing_is_stored_without_the_lease(desk, recorder):
    """The check is part of each transaction: where it fails, nothing of it is stored."""

    class GoneError(Exception):
        pass

    lost = []

    def check(connection):
        if lost:
            raise GoneError

    made = recorder(check)
    before = desk.records()
    lost.append(True)
    trial = TrialSummary(0, "failed", None, {}, reason="no")
    for act in (
        lambda: made.record_trial_start(0, {}, {}),
        lambda: made.flush_epochs([Trial(0, [epoch(0, 0, 1.0)])]),
        lambda: made.record_trial_end(trial, [], best_so_far=None),
        lambda: made.record_study_end(StudyOutcome("failed", "no", None)),
    ):
        with pytest.raises(GoneError):
            act()
    assert desk.records() == before
    assert desk.queue.get("it").state == "queued"


def test_the_report_of_a_study(desk):
    """The closed study's folder holds its trials as a table and a page with its result."""
    desk.run(FakeEngine(scores(3.0, Ends("error", "loss became nan in epoch 1"), 2.0)), trials=3)
    folder = desk.home.locate_report("it")
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["number"], row["state"]) for row in rows] == [("0", "complete"), ("1", "failed"), ("2", "complete")]
    page = (folder / "report.html").read_text()
    assert "finished: 3 trials" in page
    assert "loss became nan in epoch 1" in page
    assert "minimize val_loss" in page


def test_the_report_of_a_study_without_a_result(desk):
    """A study of which nothing completed has a report of that."""
    desk.run(FakeEngine(scores(Ends("error", "no way"))), trials=2)
    assert "no way" in (desk.home.locate_report("it") / "report.html").read_text()
    assert [record.model for record in desk.records(TrialFinished)] == [None, None]


def test_the_end_of_a_study_is_one_transaction(desk, monkeypatch):
    """The record for MLflow and the state in the queue of a study's end are stored together or not at all."""

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("tracking.store.study_queue.StudyQueue.set_result", fail)
    with pytest.raises(OSError, match="disk full"):
        desk.run(FakeEngine(scores(1.0)), trials=1)
    assert desk.records(StudyClosed) == []
    assert desk.queue.get("it").state == "running"


def test_a_registered_model_has_the_name_that_the_study_file_gives(desk):
    """`export.register` and `export.alias` reach the record that registers the winner."""
    study = study_of(
        "study: it\ndata: {source: data.csv, target: y}\nmodel: mlp\nspace: {epochs: 2}\n"
        "objective: {metric: val_loss}\nbudget: {trials: 1}\nexport: {register: my-model, alias: best}\n"
    )
    desk.run(FakeEngine(scores(1.0)), study=study)
    [closed] = desk.records(StudyClosed)
    assert (closed.register, closed.alias) == ("my-model", "best")
