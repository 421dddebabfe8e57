"""Evaluation of the winning model on rows that the search never saw."""

from __future__ import annotations

import json
from functools import partial

import keras
import numpy as np
import pytest
from fake_channel import FakeChannel
from small_studies import study_of
from weights_alone import leave_weights_alone

from pipelines.data.prepared_folder import iterate_raw, load_part, load_raw
from pipelines.models.raw_predict import predict_raw
from pipelines.selection import prediction_totals, winner
from pipelines.selection.evaluate import (
    evaluate_models,
    make_comparison_job,
    read_test_scores,
)
from pipelines.selection.evaluation_files import list_evaluation_metrics, read_evaluation
from pipelines.selection.jobs import EVALUATE_MODELS, EVALUATE_WINNER, WinnerJob
from pipelines.selection.model_locations import locate_trial, make_winner_job
from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import TrialJob
from pipelines.training.trial import train_trial
from pipelines.workspace.home import Home

STUDY = study_of("study: it\ndata: {source: data.csv, target: y}\nmodel: mlp\n")
SMALL = {"units": 4, "depth": 1, "batch_size": 16, "epochs": 1}


def train(home, data, metric):
    """Train the trial 0 of a study whose data is prepared already."""
    home.locate_study("it").mkdir(parents=True)
    home.locate_data("it").symlink_to(data)
    job = TrialJob(
        "it", 0, SMALL, frozenset(), 3, "mlp", TrainingSpec(), str(data), str(home.locate_trial("it", 0)), metric,
        "minimize", frozenset(),
    )  # fmt: skip
    train_trial(job, FakeChannel())


def evaluate_winner(home, data):
    """Return the winner's scores, its predictions for the test rows, and the true values."""
    job = make_winner_job(STUDY, home, 0, TrainingSpec(), rows={"test": 9, "validation": 9}, folds=1)
    assert job.function == EVALUATE_WINNER
    assert isinstance(job.payload, WinnerJob)
    scores = winner.evaluate_winner(job.payload, FakeChannel())
    model = keras.models.load_model(home.locate_trial("it", 0) / "model.keras")
    return scores, predict_raw(model, load_raw(data, "test")), np.asarray(load_part(data, "test").y)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home", str(tmp_path / "home"))


def test_a_classifier_is_scored_on_the_test_rows(home, mixed_data):
    """Metrics are computed on the held-out rows from raw columns, named with `test_`, and kept beside the model."""
    train(home, mixed_data, "val_loss")
    scores, predicted, truth = evaluate_winner(home, mixed_data)
    assert scores["test_accuracy"] == pytest.approx(np.mean((predicted[:, 0] > 0.5) == truth))
    assert all(name.startswith("test_") for name in scores)
    assert read_test_scores(STUDY, home, 0) == scores
    assert json.loads((home.locate_trial("it", 0) / "test.json").read_text()) == scores


def test_predictions_are_summed_up(home, mixed_data):
    """Test and validation rows have a summary in the model's folder, and MLflow gets what training does not report."""
    train(home, mixed_data, "val_loss")
    scores, _, truth = evaluate_winner(home, mixed_data)
    found = read_evaluation(locate_trial(home, "it", 0))
    assert set(found.parts) == {"test", "validation"}
    assert found.parts["test"].metrics["accuracy"] == pytest.approx(scores["test_accuracy"])
    assert found.parts["test"].metrics["loss"] == pytest.approx(scores["test_loss"], rel=1e-4)
    assert sum(map(sum, found.parts["test"].confusion)) == len(truth) == found.parts["test"].rows
    assert {"test_calibration_error", "validation_f1_macro"} <= set(list_evaluation_metrics(found))


def test_rows_in_batches_have_the_scores_of_whole_arrays(home, mixed_data, monkeypatch):
    """Batches change neither the scores on the test rows nor what is counted of the predictions."""
    train(home, mixed_data, "val_loss")
    scores, *_ = evaluate_winner(home, mixed_data)
    whole = read_evaluation(locate_trial(home, "it", 0))
    monkeypatch.setattr(prediction_totals, "_MOST_ROWS", 1)
    monkeypatch.setattr("pipelines.data.prepared_folder.iterate_raw", partial(iterate_raw, rows=5))
    again, *_ = evaluate_winner(home, mixed_data)
    found = read_evaluation(locate_trial(home, "it", 0))
    assert again == pytest.approx(scores, rel=1e-5)
    for part in ("validation", "test"):
        ours, theirs = found.parts[part], whole.parts[part]
        assert ours.intervals != theirs.intervals, "summed up in batches"
        assert ours.confusion == theirs.confusion
        assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-5)


def test_rows_that_a_model_has_seen_are_not_summed_up(home, mixed_data):
    """With folds, the validation rows of one are training rows of the others."""
    train(home, mixed_data, "val_loss")
    assert make_winner_job(STUDY, home, 0, TrainingSpec(), rows={"validation": 9}, folds=3).payload.parts == ()


def test_models_have_a_loss_too(home, mixed_data):
    """The objective of a study may be its loss, and models are compared by the objective."""
    train(home, mixed_data, "val_loss")
    scores, predicted, truth = evaluate_winner(home, mixed_data)
    job = make_comparison_job(STUDY, TrainingSpec(), [locate_trial(home, "it", 0)] * 2, home.folder / "log")
    assert job.function == EVALUATE_MODELS
    first, second = evaluate_models(job.payload, FakeChannel())
    assert first == second
    expected = -np.mean(np.log(np.where(truth, predicted[:, 0], 1 - predicted[:, 0])))
    assert first["test_loss"] == pytest.approx(expected, rel=1e-4)
    assert first == scores == read_test_scores(STUDY, home, 0)


def test_a_regression_is_scored_in_the_units_of_the_target(home, prepare_data):
    """A standardised target is scaled back before it is scored."""
    data = prepare_data(source="mixed.csv", target="x/y", task="regression", split={"seed": 1, "test": 0.2})
    train(home, data, "val_loss")
    scores, predicted, truth = evaluate_winner(home, data)
    assert truth.max() == 3, "as in the file, not standardised"
    assert scores["test_mean_absolute_error"] == pytest.approx(np.mean(np.abs(predicted - truth)), rel=1e-4)


@pytest.mark.long
def test_test_rows_weigh_as_much_as_they_say(home, prepare_data):
    """Weighted metrics weigh the test rows; the others count each row once."""
    data = prepare_data(source="mixed.csv", target="bought", weight="x/y", split={"seed": 1, "test": 0.3})
    train(home, data, "val_weighted_accuracy")
    scores, predicted, truth = evaluate_winner(home, data)
    hits, weights = (predicted[:, 0] > 0.5) == truth, load_part(data, "test").sample_weight
    assert scores["test_accuracy"] == pytest.approx(np.mean(hits))
    assert scores["test_weighted_accuracy"] == pytest.approx(np.average(hits, weights=weights), rel=1e-5)


def test_a_trial_that_left_its_weights_alone_is_scored(home, mixed_data):
    """The winner of a fleet gets its model when it is scored."""
    train(home, mixed_data, "val_loss")
    leave_weights_alone(home.locate_trial("it", 0))
    scores, predicted, truth = evaluate_winner(home, mixed_data)
    assert scores["test_accuracy"] == pytest.approx(np.mean((predicted[:, 0] > 0.5) == truth))


def test_a_trial_that_was_not_scored_has_no_scores(home):
    """Where there are no test rows there is nothing to read."""
    assert read_test_scores(STUDY, home, 3) == {}
