"""Data arguments of a hypermodel's `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.data.examples.examples import Examples
from pipelines.data.prepared import Task
from pipelines.training.batches import Rows
from pipelines.training.user_model.fit_data import DatasetForm, make_fit_data

GIVEN = Task("custom", ("y",))
X, Y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 1, 0, 1, 1])


def make_rows(*parts, class_weight=None, **keywords):
    examples = Examples(*parts, **keywords)
    return Rows(examples, examples.take(slice(2)), class_weight)


def make_model(loss="mse"):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss)
    return model


def test_arrays_are_those_of_the_author():
    """X and y go to `fit` as the same objects, whatever they are."""
    x, y = {"a": X, "b": (X, X)}, [Y, X]
    data = make_fit_data(make_rows(x, y), GIVEN, make_model())
    assert data.positional[0]["b"][1] is X
    assert data.positional[1][0] is Y
    assert data.keywords["validation_data"][1][0].tolist() == [0, 1]


@pytest.mark.parametrize("loss", ["mse", "categorical_crossentropy"])
def test_targets_that_were_given_are_not_encoded(loss):
    """A categorical loss gets class columns of a table's classes, and never of given targets."""
    assert make_fit_data(make_rows(X, Y), GIVEN, make_model(loss)).positional[1] is Y
    encoded = make_fit_data(make_rows(X, Y), Task("binary", ("y",), ("no", "yes")), make_model(loss)).positional[1]
    assert encoded.shape == ((6, 2) if loss.startswith("categorical") else (6,))


def test_no_targets():
    """Without y, `fit` gets x alone, and validation data too."""
    data = make_fit_data(make_rows(X), GIVEN, make_model())
    assert len(data.positional) == len(data.keywords["validation_data"]) == 1


def test_weights_of_rows_and_classes():
    """Keras takes either weights of rows or of classes: with both, the rows' weights hold their classes'."""
    weights = np.array([1, 2, 1, 1, 1, 1], "float32")
    only_classes = make_fit_data(make_rows(X, Y, class_weight={0: 1.0, 1: 3.0}), GIVEN, make_model()).keywords
    assert only_classes["class_weight"] == {0: 1.0, 1: 3.0}
    both = make_fit_data(make_rows(X, Y, weights, class_weight={0: 1.0, 1: 3.0}), GIVEN, make_model()).keywords
    assert "class_weight" not in both
    assert both["sample_weight"].tolist() == [1, 6, 3, 1, 3, 3]
    assert both["validation_data"][2].tolist() == [1, 2]


def test_a_dataset_stays_a_dataset():
    """A custom `fit` whose data was a dataset gets one, with its batches, its rows in another order each epoch."""
    rows = make_rows(X, Y, batch_size=4)
    data = make_fit_data(rows, GIVEN, make_model(), DatasetForm(4, seed=1))
    (train,), validation = data.positional, data.keywords["validation_data"]
    assert isinstance(train, tf.data.Dataset)
    assert [len(y) for _, y in train] == [4, 2]
    first, second = ([x.numpy().tolist() for x, _ in train.unbatch()] for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == X.tolist()
    assert next(iter(validation))[0].numpy().tolist() == X[:2].tolist()
    single = make_fit_data(rows, GIVEN, make_model(), DatasetForm(0, seed=1)).positional[0]
    assert next(iter(single))[0].shape == (2,)
