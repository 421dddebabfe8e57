"""The deployed model: raw inputs in, predictions out, loadable where kerastudy is not installed."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from pipelines.data.prepared import Features
from pipelines.models.cnn import Cnn
from pipelines.models.compose import compose
from pipelines.models.mlp import Mlp

RAW = {
    "age": np.array([20.0, 40.0, 60.0], dtype="float32"),
    "city": np.array(["Rome", "Oslo", "nowhere"]),
}


@pytest.fixture
def preprocessing():
    """Return a model from an age and a city to a dense column and a code."""
    age, city = keras.Input((), name="age"), keras.Input((), dtype="string", name="city")
    dense = keras.layers.Rescaling(0.05, offset=-2.0)(keras.layers.Reshape((1,))(age))
    codes = keras.layers.StringLookup(vocabulary=["Oslo", "Rome"])(keras.layers.Reshape((1,))(city))
    codes = keras.layers.Reshape((1,), dtype="int32")(codes)
    return keras.Model({"age": age, "city": city}, {"dense": dense, "codes": codes})


@pytest.fixture
def core(context, given):
    """Return an mlp on those features with every kind of layer that the family has."""
    features = Features(dense=1, codes=(("city", 3),))
    values = {"batch_normalization": True, "dropout": 0.2, "l1": 1e-4, "l2": 1e-4, "activation": "mish"}
    return Mlp(context("regression", features)).build(given(optimizer="adam", schedule="cosine", **values))


def raw_tensors():
    import tensorflow as tf

    return {name: tf.constant(values) for name, values in RAW.items()}


def test_the_composed_model_equals_its_parts(preprocessing, core):
    """Raw inputs give what the trained model gives on prepared ones; nothing of the compilation is kept."""
    deployed = compose(preprocessing, core)
    expected = core(preprocessing(raw_tensors()))
    assert np.array_equal(deployed(raw_tensors()), expected)
    assert not deployed.compiled
    assert {given.name for given in deployed.inputs} == {"age", "city"}


LOAD = """
import os, sys
sys.path = [p for p in sys.path if not os.path.isdir(os.path.join(p, "search_spaces"))]
import numpy as np, keras, tensorflow as tf
raw = {{"age": tf.constant([20.0, 40.0, 60.0]), "city": tf.constant(["Rome", "Oslo", "nowhere"])}}
model = keras.saving.load_model({keras!r})
loaded = tf.saved_model.load({saved!r})
assert not [m for m in sys.modules if m.split(".")[0] in ("pipelines", "search_spaces", "tracking")]
np.savez({out!r}, keras=model(raw), saved=loaded.serve(raw))
"""


@pytest.mark.long
def test_it_loads_where_kerastudy_is_not_installed(preprocessing, core, tmp_path):
    """The .keras file (in safe mode) and the SavedModel hold stock Keras only and predict the same."""
    deployed = compose(preprocessing, core)
    deployed.save(tmp_path / "model.keras")
    deployed.export(tmp_path / "saved", verbose=False)
    places = {"keras": "model.keras", "saved": "saved", "out": "out.npz"}
    program = LOAD.format(**{name: str(tmp_path / place) for name, place in places.items()})
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = np.load(tmp_path / "out.npz")
    expected = np.asarray(deployed(raw_tensors()))
    assert found["keras"] == pytest.approx(expected, rel=1e-6)
    assert found["saved"] == pytest.approx(expected, rel=1e-6)


def test_images_compose_too(context, given, tmp_path):
    """A cnn behind a rescaling of raw pixels saves, loads, and never augments what it is called on."""
    raw = keras.Input((8, 8, 1), name="image")
    pixels = keras.Model({"image": raw}, {"image": keras.layers.Rescaling(1 / 255)(raw)})
    core = Cnn(context("multiclass", Features(image=(8, 8, 1)))).build(given(rotation=0.1, flip="both", zoom=0.1))
    deployed = compose(pixels, core)
    deployed.save(tmp_path / "model.keras")
    images = {"image": np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 1)).astype("float32")}
    assert np.asarray(keras.saving.load_model(tmp_path / "model.keras")(images)) == pytest.approx(
        np.asarray(core({"image": images["image"] / 255}, training=False)), rel=1e-5
    )
