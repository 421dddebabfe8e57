"""User models: loading, errors and targets."""

import numpy as np
import pytest

from pipelines.data.prepared import Task
from pipelines.models.user_model import ModelCodeError, encode_targets, load_user_model
from search_spaces.errors import InputError
from search_spaces.hyperparameters import TrialHyperParameters

CODE = """
import keras, keras_tuner

class Model(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(loss="mse")
        return model

class Fits(Model):
    def fit(self, hp, model, *args, **kwargs):
        return 0.5

class Needs(Model):
    def __init__(self, units):
        super().__init__()

def build(hp):
    return 3

def fails(hp):
    raise ValueError("no layers")

number = 5

class Declares(Model):
    def declare_hyperparameters(self, hp):
        hp.Int("units", 4, 8, default=6)

    def build(self, hp):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(hp.get("units"))])
        model.compile(loss="mse")
        return model
"""


@pytest.fixture
def load(tmp_path):
    """Return a function that loads an object of the code above."""
    (tmp_path / "model.py").write_text(CODE)
    return lambda name: load_user_model(f"model.py:{name}", tmp_path)


def test_a_class_with_fit_is_trained_by_it(load):
    """A hypermodel has a custom fit only if the user's code defines one."""
    assert (load("Model").has_custom_fit, load("Fits").has_custom_fit) == (False, True)


@pytest.mark.parametrize(
    ("name", "message"), [("Needs", "Needs needs units; write"), ("number", "expected number to be a function of hp")]
)
def test_what_is_no_hypermodel_is_refused(load, name, message):
    """A class that needs arguments, and an object that is no hypermodel, are refused."""
    with pytest.raises(InputError, match=message):
        load(name)


def test_declared_hyperparameters_are_there_in_build(load):
    """As in KerasTuner's tuners `declare_hyperparameters` is called before `build`, for every model."""
    hp = TrialHyperParameters({"units": 5})
    assert load("Declares").build(hp).output_shape == (None, 5)
    assert [each.name for each in hp.space] == ["units"]


def test_errors_have_the_users_file_and_line(load):
    """An error in the user's code is reported with file and line, and a wrong result with its type."""
    with pytest.raises(ModelCodeError, match=r"ValueError: no layers \(model.py, line 22\)"):
        load("fails").build(None)
    with pytest.raises(InputError, match=r"expected model.py to build a Keras model, got int"):
        load("build").build(None)


def test_a_categorical_loss_gets_one_column_per_class(load):
    """Class labels become one-hot rows for a categorical loss, and stay integers for others."""
    task, labels = Task("multiclass", ("y",), ("a", "b", "c")), np.array([0, 2])
    model = load("Model").build(None)
    assert encode_targets(model, task, labels) is labels
    model.compile(loss="categorical_crossentropy")
    assert encode_targets(model, task, labels).tolist() == [[1, 0, 0], [0, 0, 1]]
