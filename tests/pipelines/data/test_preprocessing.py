"""The preprocessing model: what it computes, and that stock Keras loads it."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from pipelines.data.columns.columns import Column
from pipelines.data.columns.encoding import plan_table
from pipelines.data.examples.model_tensors import make_tensors
from pipelines.data.fitted.values import fit_array, fit_columns
from pipelines.data.preprocessing import build_preprocessing
from pipelines.models.compose import compose
from pipelines.spec.data_spec import DataSpec


def numbers(values, name="a", kind="numeric") -> Column:
    return Column(name, name, kind, np.array(values, dtype=np.float64))


def strings(values, name="s") -> Column:
    return Column(name, name, "string", np.array(values, dtype=object))


def build(columns, training=None, **encodings):
    rows = np.arange(len(columns[0].values)) if training is None else np.array(training)
    spec = DataSpec.model_validate(
        {"source": "d.csv", "columns": {name: {"encoding": word} for name, word in encodings.items()}}
    )
    return build_preprocessing(fit_columns(plan_table(columns, [rows], spec), columns, rows))


def run(model, **raw):
    arrays = {name: np.array(values) for name, values in raw.items()}
    typed = {
        name: values.astype(object if values.dtype.kind in "OU" else np.float32) for name, values in arrays.items()
    }
    return {name: value.numpy() for name, value in model(make_tensors(typed)).items()}


def test_numbers_are_standardised_by_training_rows():
    """Mean and deviation are those of the training rows alone."""
    model = build([numbers([1, 3, 1000])], training=[0, 1])
    assert run(model, a=[1.0, 3.0, 1000.0])["dense"].ravel().tolist() == [-1, 1, 998]


def test_missing_numbers():
    """A missing or infinite value becomes the training median, and is marked where training rows have missing ones."""
    dense = run(build([numbers([1, 2, 9, np.nan])]), a=[np.nan, np.inf, -np.inf, 2.0])["dense"]
    assert dense[:, 1].tolist() == [1, 1, 1, 0]
    assert np.allclose(dense[:3, 0], dense[3, 0])
    unmarked = run(build([numbers([1, 2, 9])]), a=[np.nan, 2.0])["dense"]
    assert unmarked.shape == (2, 1)
    assert unmarked[0] == unmarked[1]


@pytest.mark.parametrize("scale", [1e-35, 1e-12, 1.0, 1e12, 1e30])
def test_any_scale(scale):
    """A column's unit does not matter, down to where a squared deviation leaves float32."""
    values = np.array([1.0, 2.0, 4.0]) * scale
    dense = run(build([numbers(values)]), a=values)["dense"].ravel()
    expected = (values - values.mean()) / values.std() if scale > 1e-30 else values - values.mean()
    assert np.allclose(dense, expected, atol=1e-5)


def test_constant_column():
    """A constant column is 0, and another value later stays moderate."""
    assert run(build([numbers([5, 5])]), a=[5.0, 6.0])["dense"].ravel().tolist() == [0, 1]


def test_heavy_tail():
    """The logarithmic copy is even where the value is not, for both signs, and standardised."""
    values = np.concatenate([np.exp(np.linspace(0, 10, 100)), -np.exp(np.linspace(0, 5, 20))])
    dense = run(build([numbers(values)]), a=values)["dense"]
    assert dense.shape[1] == 2
    assert np.abs(dense[:, 0]).max() > 4
    assert np.abs(dense[:, 1]).max() < 3
    assert dense[:, 1].mean() == pytest.approx(0, abs=1e-5)
    assert np.array_equal(np.argsort(dense[:, 1]), np.argsort(values))


def test_dates():
    """A date's place in the week repeats after 7 days, in the year after 365.2425."""
    days = 19_000 + np.arange(400.0)
    dense = run(build([numbers(days, "d", "date")]), d=days)["dense"]
    assert dense.shape == (400, 5)
    week, year = dense[:, 1:3], dense[:, 3:5]
    assert np.allclose(week[:393], week[7:], atol=1e-4)
    assert np.abs(week[0] - week[3]).max() > 0.3
    assert np.allclose(year[:35], year[365:], atol=1e-2)
    assert np.allclose((year**2).sum(axis=1), 1, atol=1e-5)


def test_one_hot():
    """A category has one column; a missing string and one never seen in training have none set."""
    dense = run(build([strings(["x", "y", "x", ""])]), s=["x", "y", "", "new"])["dense"]
    assert dense.tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]


def test_category_outside_training_is_unknown():
    """A category that only rows outside training have is not learnt."""
    assert run(build([strings(["a", "x", "y"])], training=[1, 2]), s=["a", "x"])["dense"].tolist() == [[0, 0], [1, 0]]


def test_codes():
    """Embedded strings have a code each from 1; code 0 is missing or never seen."""
    outputs = run(build([strings(["x", "y", "x"])], s="embedding"), s=["x", "y", "", "new"])
    assert outputs["codes"].dtype == np.int32
    assert outputs["codes"].ravel().tolist() == [1, 2, 0, 0]
    assert "dense" not in outputs


def test_hashes():
    """Hashed strings have a code from 1 on whether seen or not, the same each time; missing is 0."""
    codes = run(build([strings(["x", "y"])], s="hash"), s=["x", "x", "new", ""])["codes"].ravel()
    assert codes[0] == codes[1] > 0
    assert codes[2] > 0
    assert codes[3] == 0


def test_words_of_any_kind():
    """Line breaks, tabs, quotes and emoji in categories are kept apart, also after saving."""
    words = ["a b", "new\nline", "tab\t", "é😀", "'q\"", "x,y"]
    assert run(build([strings(words)]), s=words)["dense"].tolist() == np.eye(6)[np.argsort(np.argsort(words))].tolist()


def test_fold_without_categories():
    """A fold whose training rows lack every category still has the shape of the others."""
    columns = [strings(["x", "y", "", ""])]
    plan = plan_table(columns, [np.array([0, 1]), np.array([2, 3])], DataSpec(source="d.csv"))
    model = build_preprocessing(fit_columns(plan, columns, np.array([2, 3])))
    assert run(model, s=["x", ""])["dense"].shape == (2, 2)


def test_pictures_per_channel():
    """Pictures are standardised per channel by training rows, whole or as one row of features."""
    pictures = np.random.default_rng(0).integers(0, 255, (6, 4, 5, 3), dtype=np.uint8)
    pictures[..., 2] //= 10
    model = build_preprocessing(fit_array("image", pictures, np.arange(4), "image", ()))
    image = run(model, image=pictures)["image"]
    assert image.shape == (6, 4, 5, 3)
    assert np.allclose(image[:4].mean(axis=(0, 1, 2)), 0, atol=1e-5)
    assert np.allclose(image[:4].std(axis=(0, 1, 2)), 1, atol=1e-5)
    flat = build_preprocessing(fit_array("image", pictures, np.arange(4), "dense", ()))
    assert np.array_equal(run(flat, image=pictures)["dense"], image.reshape(6, -1))


def test_features_of_an_array():
    """Rows of features are standardised each by itself, with marks for those that can be missing."""
    features = np.array([[1.0, 5.0], [3.0, np.nan], [2.0, 7.0]])
    model = build_preprocessing(fit_array("features", features, np.arange(3), "dense", (False, True)))
    dense = run(model, features=features)["dense"]
    assert dense.shape == (3, 3)
    assert dense[:, 2].tolist() == [0, 1, 0]


def test_columns_named_like_models():
    """A column may be called like a part of the deployed model."""
    columns = [
        numbers([1, 2], name) for name in ("preprocessing", "mlp", "dense", "deployed", "prediction", "functional")
    ]
    taken = keras.Input((6,), name="dense")
    core = keras.Model({"dense": taken}, keras.layers.Dense(1, name="prediction")(taken), name="mlp")
    deployed = compose(build(columns), core)
    assert {given.name for given in deployed.inputs} == {column.name for column in columns}


STOCK = """
import sys, keras, numpy as np, tensorflow as tf
raw = {"dense": tf.constant([1.0, float("nan"), float("inf")]), "where": tf.constant([1.0, 0.0, float("nan")]),
       "stack": tf.constant([19000.0, 19001.5, 1.0]), "s1": tf.constant(["x", "new", ""]),
       "kwargs": tf.constant(["x", "", "q"]), "training": tf.constant([1.0, 2.0, 1e30])}
wanted = np.load("wanted.npz")
model = keras.saving.load_model("model.keras")
saved = tf.saved_model.load("saved")
for outputs in (model(raw), saved.serve(raw), saved.signatures["serving_default"](**raw)):
    for name in wanted:
        assert np.array_equal(outputs[name].numpy(), wanted[name]), name
assert not {"pipelines", "search_spaces", "tracking"} & set(sys.modules)
"""


@pytest.mark.long
def test_stock_keras_loads_it(tmp_path):
    """Columns of any name: .keras file and SavedModel give the same in a process without kerastudy."""
    tail = np.exp(np.linspace(0, 9, 30))
    columns = [
        numbers([*tail[:29], np.nan], "dense"),
        numbers([1, 0] * 15, "where", "boolean"),
        numbers(19_000 + np.arange(30) / 2, "stack", "date"),
        numbers(tail, "training"),
        strings(["x", "y", "new\nline"] * 10, "s1"),
        strings(["x", "y"] * 15, "kwargs"),
    ]
    model = build(columns, kwargs="embedding")
    raw = {
        "dense": np.array([1.0, np.nan, np.inf]),
        "where": np.array([1.0, 0.0, np.nan]),
        "stack": np.array([19000.0, 19001.5, 1.0]),
        "s1": np.array(["x", "new", ""], dtype=object),
        "kwargs": np.array(["x", "", "q"], dtype=object),
        "training": np.array([1.0, 2.0, 1e30]),
    }
    np.savez(tmp_path / "wanted.npz", **run(model, **raw))
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    done = subprocess.run([sys.executable, "-c", STOCK], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
