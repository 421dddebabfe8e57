"""Exported models: proven equal, from raw columns, without kerastudy, and never half written."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from fake_channel import FakeChannel
from inline_engine import InlineEngine
from weights_alone import leave_weights_alone

from pipelines.data.prepare import load_raw, load_summary
from pipelines.export import export as export_module
from pipelines.export.export import FORMATS, ExportError, export_trial, signature_of
from pipelines.home import Home
from pipelines.models.deployed import predict_raw
from pipelines.study_spec import TrainingSpec
from pipelines.training.trainer import TrialJob
from pipelines.training.trial import train_trial
from search_spaces.errors import InputError

ODD = {  # rows that training never saw: gaps, and a city of another country
    "age": [40.0, math.nan, 25.0],
    "a_b": [0.5, 0.1, math.nan],
    "x_y": [1.0, math.nan, 3.0],
    "dense": [0.0, 1.0, 1.0],
    "city": ["Rome", "", "Atlantis"],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory, mixed_data, prepare_data):
    """A home with a trial of a table and one of images."""
    where = Home(tmp_path_factory.mktemp("home"), "")
    chance = np.random.default_rng(2)
    images = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(images, x=chance.integers(0, 255, (60, 6, 6, 1)).astype("uint8"), y=np.arange(60) % 3)
    image_data = prepare_data("image", source=str(images), split={"validation": 0.2, "test": 0.1, "seed": 1})
    small = {"learning_rate": 0.05, "batch_size": 16, "epochs": 1}
    _train(where, "table", mixed_data, "mlp", {**small, "units": 4, "depth": 1})
    _train(where, "images", image_data, "cnn", {**small, "blocks": 1, "filters": 2, "rotation": 0.1})
    return where


def _train(home, study, data, family, values):
    home.study(study).mkdir(parents=True)
    home.data(study).symlink_to(data)
    folder = str(home.trial(study, 0))
    job = TrialJob(
        study, 0, values, frozenset(), 3, family, TrainingSpec(), str(data), folder, "val_loss", "minimize", frozenset()
    )
    train_trial(job, FakeChannel())


@pytest.fixture(scope="module")
def exported(home, tmp_path_factory):
    """Both trials in every format: a folder for each, and what was said of it."""
    target = tmp_path_factory.mktemp("exported")
    said = {
        study: export_trial(home, study, 0, list(FORMATS), target / study, InlineEngine())
        for study in ("table", "images")
    }
    return target, said


def odd_rows(home):
    """Return the odd rows by the names that the model has for its inputs."""
    names = {column.column: column.name for column in load_summary(home.data("table")).raw}
    given = {"age": ODD["age"], "a b": ODD["a_b"], "x/y": ODD["x_y"], "dense": ODD["dense"], "city": ODD["city"]}
    rows = {names[column]: values for column, values in given.items()}
    rows[names["\u00e9"]] = [0.2, 0.4, math.nan]
    return {
        name: np.array(values, dtype=object) if isinstance(values[0], str) else np.array(values, np.float32)
        for name, values in rows.items()
    }


@pytest.mark.parametrize("study", ["table", "images"])
def test_every_format_is_proven_equal(exported, home, study):
    """Each format's file is there and was compared with the Keras model on every held-out row."""
    target, said = exported
    assert [parity.format for parity in said[study]] == ["keras", "saved_model"]
    written = json.loads((target / study / "parity.json").read_text())
    assert written == [vars(parity) for parity in said[study]]
    for parity in said[study]:
        assert (target / study / parity.file).exists()
        assert parity.rows == load_summary(home.data(study)).rows["test"]
        assert parity.largest_difference <= 1e-6
        assert parity.agreement == 1.0
        assert parity.size_bytes > 1000
    assert sorted(file.name for file in target.iterdir()) == ["images", "table"], "nothing is left beside the target"


def test_the_signature_says_what_goes_in_and_what_comes_out(exported, home):
    """`signature.json` names every raw column as the model and as the file call it, and what the output means."""
    signature = json.loads((exported[0] / "table" / "signature.json").read_text())
    assert {column["column"] for column in signature["inputs"]} == {"age", "a b", "x/y", "\u00e9", "dense", "city"}
    assert signature["task"] == "binary"
    assert signature["output"] == {
        "shape": [1], "meaning": "probability of the second class", "classes": ["no", "yes"], "targets": ["bought"],
    }  # fmt: skip
    images = signature_of(load_summary(home.data("images")))
    assert images["output"]["shape"] == [3]
    assert images["output"]["meaning"] == "probability of each class"


def test_the_serving_signature_names_the_raw_columns(exported, home):
    """A SavedModel's signature takes every raw column by its name, with any number of rows."""
    serve = tf.saved_model.load(str(exported[0] / "table" / "saved_model")).signatures["serving_default"]
    taken = serve.structured_input_signature[1]
    for column in load_summary(home.data("table")).raw:
        assert taken[column.name].dtype.name == column.dtype
        assert taken[column.name].shape.as_list() == [None, *column.shape]
    assert len(taken) == 6


def test_the_formats_agree_on_rows_unlike_any_seen(exported, home):
    """Gaps and a category that training never saw give a prediction, the same one in every format."""
    folder = exported[0] / "table"
    raw = odd_rows(home)
    expected = predict_raw(keras.models.load_model(home.trial("table", 0) / "model.keras"), raw)
    assert np.isfinite(expected).all()
    assert expected.shape == (3, 1)
    for name, file in (("keras", "model.keras"), ("saved_model", "saved_model")):
        np.testing.assert_allclose(FORMATS[name].predict(folder / file, raw), expected, atol=1e-6)


def test_exported_files_work_where_kerastudy_is_not_installed(exported, home, tmp_path):
    """A process that cannot import our packages loads both formats of both models and predicts the same."""
    target, _ = exported
    raw = odd_rows(home)
    images = load_raw(home.data("images"), "test")
    [(image_name, pixels)] = images.items()
    np.savez(tmp_path / "images.npz", pixels)
    (tmp_path / "rows.json").write_text(json.dumps({name: values.tolist() for name, values in raw.items()}))
    script = f"""
import json, sys
sys.modules.update(pipelines=None, search_spaces=None, tracking=None)
import keras, numpy as np, tensorflow as tf
rows = json.load(open("rows.json"))
table = {{name: tf.constant(values) for name, values in rows.items()}}
images = {{{image_name!r}: tf.constant(np.load("images.npz")["arr_0"])}}
answers = {{}}
for study, given in (("table", table), ("images", images)):
    folder = {str(target)!r} + "/" + study
    model = keras.models.load_model(folder + "/model.keras")
    serve = tf.saved_model.load(folder + "/saved_model").signatures["serving_default"]
    answers[study] = [np.asarray(model(given)).tolist(), np.asarray(next(iter(serve(**given).values()))).tolist()]
json.dump(answers, open("answers.json", "w"))
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, timeout=100)
    answers = json.loads((tmp_path / "answers.json").read_text())
    for study, given in (("table", raw), ("images", images)):
        expected = predict_raw(keras.models.load_model(home.trial(study, 0) / "model.keras"), given)
        for answer in answers[study]:
            np.testing.assert_allclose(answer, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["keras", "saved_model"])
def test_a_file_that_differs_is_not_handed_over(home, tmp_path, monkeypatch, name):
    """A format whose predictions differ by more than rounding is an error, and leaves nothing behind."""
    real = type(FORMATS[name]).predict
    monkeypatch.setattr(type(FORMATS[name]), "predict", lambda self, written, raw: real(self, written, raw) + 1e-4)
    with pytest.raises(ExportError, match=f"{name} differs from the Keras model by 0.0001"):
        export_trial(home, "table", 0, ["keras", "saved_model"], tmp_path / "out", InlineEngine())
    assert list(tmp_path.iterdir()) == []


def test_predictions_that_are_no_numbers_are_not_equal(home, tmp_path, monkeypatch):
    """NaN is never within the tolerance."""
    monkeypatch.setattr(type(FORMATS["keras"]), "predict", lambda self, written, raw: np.full((16, 1), np.nan))
    with pytest.raises(ExportError, match="differs from the Keras model by nan"):
        export_trial(home, "table", 0, ["keras"], tmp_path / "out", InlineEngine())
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_cannot_be_written_leaves_nothing(home, tmp_path, monkeypatch):
    """A failure while a file is written is an error that says where to read on."""

    def refuse(self, model, folder):
        (folder / "half").write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(type(FORMATS["saved_model"]), "write", refuse)
    with pytest.raises(ExportError, match=r"No space left on device.*export\.log"):
        export_trial(home, "table", 0, ["keras", "saved_model"], tmp_path / "out", InlineEngine())
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_left_alone(home, tmp_path):
    """Nothing is ever overwritten."""
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(InputError, match="exists already"):
        export_trial(home, "table", 0, ["keras"], target, InlineEngine())
    assert list(target.iterdir()) == []


def test_an_unknown_format_is_named_with_its_nearest(home, tmp_path):
    """A slip in a format's name is answered with the right one."""
    with pytest.raises(InputError, match='unknown format "savedmodel"; did you mean "saved_model"'):
        export_trial(home, "table", 0, ["savedmodel"], tmp_path / "out", InlineEngine())


def test_a_trial_without_a_model_is_said(home, tmp_path):
    """A trial whose model was not kept cannot be exported, and the message says which trials can."""
    with pytest.raises(InputError, match=r"trial 5 of table has no model on disk.*keep_models"):
        export_trial(home, "table", 5, ["keras"], tmp_path / "out", InlineEngine())
    assert list(tmp_path.iterdir()) == []


def test_weights_alone_are_enough(home, mixed_data, tmp_path):
    """A trial that a fleet trained left its weights alone; its model is written when it is exported."""
    _train(home, "fleet", mixed_data, "mlp", {"units": 4, "depth": 1, "batch_size": 16, "epochs": 1})
    before = leave_weights_alone(home.trial("fleet", 0))
    [parity] = export_trial(home, "fleet", 0, ["keras"], tmp_path / "out", InlineEngine())
    assert parity.agreement == 1.0
    raw = load_raw(mixed_data, "test")
    after = keras.models.load_model(tmp_path / "out" / "model.keras")
    np.testing.assert_array_equal(predict_raw(after, raw), predict_raw(before, raw))


def test_a_format_asked_for_twice_is_written_once(home, tmp_path):
    """Naming a format twice changes nothing."""
    parities = export_trial(home, "table", 0, ["keras", "keras"], tmp_path / "out", InlineEngine())
    assert [parity.format for parity in parities] == ["keras"]


def test_agreement_counts_decisions(home):
    """Agreement is the share of rows with the same class, or with the value within the tolerance."""
    binary = load_summary(home.data("table"))
    got, expected = np.array([[0.4], [0.6], [0.51]]), np.array([[0.45], [0.9], [0.49]])
    assert export_module._agreement(got, expected, binary, 1e-6) == pytest.approx(2 / 3)
    classes = load_summary(home.data("images"))
    got, expected = np.array([[0.1, 0.8, 0.1], [0.6, 0.3, 0.1]]), np.array([[0.2, 0.5, 0.3], [0.3, 0.6, 0.1]])
    assert export_module._agreement(got, expected, classes, 1e-6) == 0.5
