"""Small tasks, data and hyperparameters that the tests of the model families share."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.data.prepared import Features, Task
from pipelines.models.context import ModelContext
from pipelines.spec.schema import TrainingSpec

TASKS = {
    "binary": Task("binary", ("sick",), classes=("no", "yes"), class_counts=(48, 16)),
    "multiclass": Task("multiclass", ("kind",), classes=("a", "b", "c"), class_counts=(32, 16, 16)),
    "multi_label": Task("multi_label", ("red", "blue"), target_mean=(0.0, 0.0), target_scale=(1.0, 1.0)),
    "regression": Task("regression", ("strength",), target_mean=(50.0,), target_scale=(10.0,)),
    "multi_output_regression": Task(
        "multi_output_regression", ("x", "y"), target_mean=(50.0, 3.0), target_scale=(10.0, 2.0)
    ),
}
_HEADS = (
    replace(TASKS["multiclass"], targets=("kind",), output="kind"),
    replace(TASKS["regression"], targets=("strength",), output="strength"),
)
TASKS["multi_task"] = Task("multi_task", ("strength", "kind"), heads=_HEADS)

FIVE_COLUMNS = Features(dense=5)


@pytest.fixture
def tasks():
    """Return one task of each kind."""
    return TASKS


@pytest.fixture
def context():
    """Return a function that makes a context: five dense columns and 64 rows by default."""

    def make(kind="binary", features=FIVE_COLUMNS, train_rows=64, per_layer=(), **training):
        return ModelContext(features, TASKS[kind], TrainingSpec(**training), train_rows, frozenset(per_layer))

    return make


@pytest.fixture
def given():
    """Return a function that makes KerasTuner hyperparameters with these values set."""
    import keras_tuner

    def make(**values):
        hp = keras_tuner.HyperParameters()
        hp.values.update(values)
        return hp

    return make


@pytest.fixture
def requests(given):
    """Return a function that makes the requests of a family, with these values."""
    from pipelines.models.catalogue import find_family
    from pipelines.models.hyperparameter_requests import HyperparameterRequests

    def make(name="mlp", **values):
        return HyperparameterRequests(given(**values), find_family(name), frozenset())

    return make


@pytest.fixture(autouse=True)
def _seeded():
    import keras

    keras.utils.set_random_seed(1)


@pytest.fixture
def rows():
    """Return a function that makes 64 rows of targets for a kind of task, with 5 features that predict them."""

    def make(kind):
        rng = np.random.default_rng(7)
        x = rng.normal(size=(64, 5)).astype("float32")
        if kind == "binary":
            return x, (x[:, 0] > 0.5).astype("int32")
        if kind == "multiclass":
            return x, np.digitize(x[:, 0], [-0.5, 0.5]).astype("int32")
        if kind == "multi_label":
            return x, (x[:, :2] > 0).astype("float32")
        weights = rng.normal(size=(5, 1 if kind == "regression" else 2))
        means = [50.0] if kind == "regression" else [50.0, 3.0]
        scales = [10.0] if kind == "regression" else [10.0, 0.5]
        return x, (x @ weights / 3 * scales + means).astype("float32")

    return make
