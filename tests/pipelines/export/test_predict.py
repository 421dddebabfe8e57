"""Predictions for the rows of a file, as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from exported_trials import train_one
from fake_channel import FakeChannel
from PIL import Image

from pipelines.data.prepare import prepare
from pipelines.data.prepared import Task
from pipelines.export.jobs import PredictionJob
from pipelines.export.predict import name_predictions, predict_rows
from pipelines.export.registry import FORMATS
from pipelines.export.source_model import load_source_model
from pipelines.models.raw_predict import predict_outputs, predict_raw
from pipelines.selection.evaluation_files import list_evaluation_metrics, read_evaluation
from pipelines.selection.jobs import WinnerJob
from pipelines.selection.winner import evaluate_winner
from pipelines.spec.data_spec import DataSpec
from pipelines.spec.schema import TrainingSpec
from pipelines.training.deployed_model import load_deployed_model
from pipelines.training.messages import PastTrial
from pipelines.workspace.home import Home
from search_spaces.errors import InputError
from tracking.reports.figures.evaluation import draw_evaluation

SMALL = {"learning_rate": 0.05, "batch_size": 16, "epochs": 1, "units": 4, "depth": 1}


@pytest.fixture
def predict(tmp_path):
    """Return a function that trains on a table and predicts the rows of another."""

    def run(table, rows, family="mlp", values=SMALL, prefers="dense", **keys):
        table.to_csv(tmp_path / "d.csv", index=False)
        rows.to_csv(tmp_path / "new.csv", index=False)
        spec = DataSpec.model_validate({"source": "d.csv", "split": {"test": 0.2}, **keys})
        prepare(spec, tmp_path, tmp_path / "data", prefers)
        home = Home(tmp_path / "home", "")
        train_one(home, "s", tmp_path / "data", family, values)
        trial = PastTrial(str(home.locate_trial("s", 0)), str(home.locate_data("s")))
        new = spec.model_copy(update={"source": "new.csv"})
        done = predict_rows(PredictionJob(trial, new, str(tmp_path), str(tmp_path / "out.csv")), FakeChannel())
        return done, pd.read_csv(tmp_path / "out.csv"), trial

    return run


def test_rows_of_a_table(predict):
    """They come back with the decision and its probability, which is the deployed model's; no target is needed."""
    random = np.random.default_rng(4)
    table = pd.DataFrame({"size": random.normal(size=60).round(3), "city": ["Oslo", "Rome"] * 30})
    table["good"] = np.where(table["size"] > 0, "yes", "no")
    rows = pd.DataFrame({"city": ["Rome", "Bari", ""], "size": ["1.5", "", "-2"]})
    done, found, trial = predict(table, rows, target="good")
    raw = {"city": np.array(["Rome", "Bari", ""], object), "size": np.array([1.5, np.nan, -2], np.float32)}
    expected = predict_raw(load_deployed_model(trial), raw)[:, 0]
    np.testing.assert_allclose(found["probability of yes"], expected, atol=1e-6)
    assert found["good"].tolist() == ["yes" if each >= 0.5 else "no" for each in expected]
    assert (done.rows, done.columns) == (3, ("good", "probability of yes"))


def test_a_missing_column_is_named(predict):
    table = pd.DataFrame({"size": range(40), "city": ["Oslo", "Rome"] * 20, "good": ["yes", "no"] * 20})
    with pytest.raises(InputError, match="these columns are missing: size"):
        predict(table, table[["city"]], target="good")


def test_rows_from_another_machine_name_no_pictures(tmp_path):
    """Their paths would be read here, so they are refused before the model is loaded."""
    for name in ("a", "b"):
        Image.new("L", (3, 2), ord(name)).save(tmp_path / f"{name}.png")
    table = pd.DataFrame({"photo": ["a.png", "b.png"] * 20, "size": range(40), "good": ["yes", "no"] * 20})
    table.to_csv(tmp_path / "d.csv", index=False)
    spec = DataSpec.model_validate({"source": "d.csv", "target": "good"})
    prepare(spec, tmp_path, tmp_path / "data", "mixed")
    trial = PastTrial(str(tmp_path / "no-trial"), str(tmp_path / "data"))
    job = PredictionJob(trial, spec, str(tmp_path), str(tmp_path / "out.csv"), is_sent=True)
    with pytest.raises(InputError, match='"photo" names pictures, which are not sent'):
        predict_rows(job, FakeChannel())
    assert not (tmp_path / "out.csv").exists()


def test_a_forecast_has_its_times(predict):
    """The newest window of each series is the model's input, and its outputs are rows in time."""
    days = pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d")
    table = pd.concat(pd.DataFrame({"day": days, "shop": shop, "sales": range(40)}) for shop in ("a", "b"))
    series = {"time": "day", "by": "shop", "length": 4, "horizon": 2}
    done, found, trial = predict(table, table.tail(50), target="sales", series=series)
    assert found[["shop", "day"]].to_numpy().tolist()[:2] == [["a", "2024-02-10"], ["a", "2024-02-11"]]
    window = np.array([[36, 37, 38, 39]], np.float32)[..., None]
    expected = predict_raw(load_deployed_model(trial), {"series": window})[0]
    np.testing.assert_allclose(found["sales"][:2], expected, rtol=1e-5)
    assert (done.rows, done.columns) == (4, ("sales",))


def test_channels_go_by_their_names(predict):
    """A file with its columns in another order, and one more, gives the same forecast; one without a channel none."""
    days = pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d")
    table = pd.DataFrame({"day": days, "price": np.arange(40) % 5 * 100.0, "sales": range(40)})
    again = table.assign(more="7")[["more", "sales", "day", "price"]]
    series = {"time": "day", "length": 4}
    _, found, trial = predict(table, again, target="sales", series=series)
    window = table[["price", "sales"]].to_numpy(np.float32)[None, -4:]
    expected = predict_raw(load_deployed_model(trial), {"series": window})[0]
    np.testing.assert_allclose(found["sales"], expected, rtol=1e-5)
    again.drop(columns="price").to_csv(Path(trial.data).resolve().parent / "new.csv", index=False)
    new = DataSpec.model_validate({"source": "new.csv", "target": "sales", "series": series})
    folder = Path(trial.data).resolve().parent
    with pytest.raises(InputError, match="these columns are missing: price"):
        predict_rows(PredictionJob(trial, new, str(folder), str(folder / "no.csv")), FakeChannel())


def test_classes_of_series_are_named(predict):
    """A class at the end of a window comes back as one, with its probability."""
    table = pd.DataFrame({"t": range(40), "x": np.arange(40) % 7, "state": ["on", "off"] * 20})
    _, found, _ = predict(table, table, target="state", series={"time": "t", "length": 3, "horizon": 0})
    assert list(found) == ["t", "state", "probability of on"] and set(found["state"]) <= {"on", "off"}


@pytest.mark.parametrize(
    ("task", "values", "columns"),
    [
        (Task("multiclass", ("kind",), ("a", "b")), [[0.2, 0.8]], ["kind", "probability of a", "probability of b"]),
        (Task("multi_label", ("x", "y")), [[0.2, 0.8]], ["probability of x", "probability of y"]),
        (Task("regression", ("t",)), [[3.0]], ["t"]),
        (Task("custom", ()), [[[1.0, 2.0]]], ["output_0", "output_1"]),
        (Task("custom", ()), {"left": [[1.0]], "right": [[2.0]]}, ["left", "right"]),
    ],
)
def test_columns_of_predictions(task, values, columns):
    assert list(name_predictions(task, values)) == columns


def test_several_targets_have_a_column_each(predict):
    """A class comes back by its name with its probability, a number in its unit, as the heads give them."""
    random = np.random.default_rng(4)
    table = pd.DataFrame({"size": random.normal(size=60).round(3), "city": ["Oslo", "Rome"] * 30})
    table["is good"], table["price"] = np.where(table["size"] > 0, "yes", "no"), 1000 + 50 * table["size"]
    rows = pd.DataFrame({"city": ["Rome", "Bari"], "size": ["1.5", "-2"]})
    done, found, trial = predict(table, rows, target=["price", "is good"])
    raw = {"city": np.array(["Rome", "Bari"], object), "size": np.array([1.5, -2], np.float32)}
    answer = load_deployed_model(trial)({name: tf.constant(values.tolist()) for name, values in raw.items()})
    np.testing.assert_allclose(found["price"], np.asarray(answer["price"])[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found["probability of is good: yes"], np.asarray(answer["is_good"])[:, 0], atol=1e-6)
    assert set(found["is good"]) <= {"yes", "no"}
    assert done.columns == ("price", "is good", "probability of is good: yes")
    assert found["price"].between(900, 1100).all()


def test_several_targets_are_evaluated_each(predict):
    """The winner has a summary for each head: a confusion for classes, residuals for numbers, and scores of both."""
    random = np.random.default_rng(4)
    table = pd.DataFrame({"size": random.normal(size=60).round(3)})
    table["good"], table["price"] = np.where(table["size"] > 0, "yes", "no"), 1000 + 50 * table["size"]
    _, _, trial = predict(table, table, target=["price", "good"])
    job = WinnerJob(trial, 0, TrainingSpec(), ("validation", "test"), has_user_model=False)
    scores = evaluate_winner(job, FakeChannel())
    assert {"test_loss", "test_good_accuracy", "test_price_root_mean_squared_error"} < scores.keys()
    assert scores["test_loss"] == pytest.approx(scores["test_good_loss"] + scores["test_price_loss"])
    evaluation = read_evaluation(trial)
    assert (evaluation.heads["good"].classes, evaluation.heads["price"].classes) == (("no", "yes"), ())
    found = evaluation.heads["good"].parts["test"].metrics["accuracy"]
    assert found == pytest.approx(scores["test_good_accuracy"])
    assert {f"{figure.name}" for figure in draw_evaluation(evaluation)} >= {"confusion-matrix-good", "residuals-price"}
    assert "test_price_r2_score" in list_evaluation_metrics(evaluation)


@pytest.mark.long
@pytest.mark.parametrize("name", ["saved_model", "onnx", "openvino", "litert"])
def test_a_file_answers_each_target_by_its_name(predict, name, tmp_path):
    """Every format has a named output for each target, which predicts as the Keras model does."""
    random = np.random.default_rng(4)
    table = pd.DataFrame({"size": random.normal(size=60).round(3)})
    table["Good One"], table["price"] = np.where(table["size"] > 0, "yes", "no"), 1000 + 50 * table["size"]
    _, _, trial = predict(table, table, target=["price", "Good One"])
    source = load_source_model(trial)
    assert source.output_names == ("Good_One", "price")
    (tmp_path / "file").mkdir()
    written = FORMATS[name].write(source, tmp_path / "file")
    rows = {"size": np.linspace(-2, 2, 5, dtype="float32")}
    got = FORMATS[name].load(tmp_path / "file", written)(rows)
    for ours, theirs in zip(got, predict_outputs(source.original, rows), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
