"""Datasets and generators, read whole."""

import numpy as np
import pytest
import tensorflow as tf

from pipelines.data.examples import datasets
from pipelines.data.examples.datasets import read_dataset

X = np.arange(10, dtype=np.float32).reshape(5, 2)
Y = np.array([0, 1, 0, 1, 0])


def read(dataset):
    return read_dataset(dataset, "l", "data.source")


def rows_of(*parts):
    return tf.data.Dataset.from_tensor_slices(parts)


@pytest.mark.parametrize(("batch", "size"), [(None, 0), (2, 2), (4, 4), (8, 5)])
def test_all_rows_are_read(batch, size):
    """A dataset gives all its rows, batched or not, the last short batch included."""
    made = read(rows_of(X, Y).batch(batch) if batch else rows_of(X, Y))
    assert np.array_equal(made.x, X)
    assert made.y.tolist() == Y.tolist()
    assert made.batch_size == size


@pytest.mark.parametrize(
    ("dataset", "rows"),
    [
        # A row of five numbers whose target is the row: by shape alone it would be a batch of five.
        (lambda: rows_of(np.eye(5), np.eye(5)), 5),
        (lambda: rows_of(np.eye(5), np.eye(5)).shuffle(5).prefetch(1), 5),
        (lambda: rows_of(np.eye(5), np.eye(5)).batch(5, drop_remainder=True).map(lambda x, y: (x * 2, y)), 5),
        (lambda: rows_of(np.eye(5), np.eye(5)).batch(5).unbatch(), 5),
        (lambda: tf.data.Dataset.zip((rows_of(np.eye(5)).map(lambda x: x), rows_of(np.eye(5)).map(lambda y: y))), 5),
    ],
)
def test_batches_are_known_by_their_steps(dataset, rows):
    """Whether an element is a batch or a row follows from how the dataset was made."""
    made = read(dataset())
    assert made.rows == rows
    assert made.x.shape == (5, 5)


def test_weights_and_structures():
    """Elements are (x, y, sample_weight), nested as the author has them."""
    made = read(rows_of({"a": X, "b": [b"x"] * 5}, (Y, Y * 2.0), np.ones(5)).batch(2))
    assert made.x["b"].tolist() == ["x"] * 5
    assert isinstance(made.y, tuple)
    assert made.sample_weight.tolist() == [1.0] * 5


def test_x_alone():
    """A dataset without targets has none."""
    assert read(tf.data.Dataset.from_tensor_slices(X).batch(2)).y is None


def test_ragged_rows_stay_ragged():
    """Rows of different lengths are one ragged tensor."""
    made = read(rows_of(tf.ragged.constant([[1, 2], [3], [4, 5, 6]]), Y[:3]).batch(2))
    assert [len(row) for row in made.x.to_list()] == [2, 1, 3]


def test_a_generator_and_keras_datasets():
    """Python's generators and Keras's datasets give batches, as `Model.fit` takes them."""
    import keras

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return X[index : index + 2], Y[index : index + 2]

    assert read((X, Y) for _ in range(3)).rows == 15
    assert read(Batches()).rows == 4


def test_endless_sources(problem, monkeypatch):
    """An infinite dataset is refused before a row is read, and one that hides its length after a bounded amount."""
    endless = rows_of(X, Y).batch(2).repeat()
    assert "infinite" in problem(read, endless).message
    monkeypatch.setattr(datasets, "MOST_ROWS", 50)
    assert "more than 50 rows without an end" in problem(read, endless.filter(lambda *_: True)).message
    monkeypatch.setattr(datasets, "MOST_BYTES", 100)
    assert "GB without an end" in problem(read, ((X, Y) for _ in iter(int, 1))).message


def test_unusable_datasets(problem):
    """Empty datasets, and batches that do not fit together, say what to do."""
    assert "is empty" in problem(read, rows_of(X, Y).batch(2).take(0)).message
    assert "is empty" in problem(read, rows_of(X, Y).batch(2).filter(lambda *_: False)).message
    two_lengths = ((np.zeros((2, length)), np.zeros(2)) for length in (3, 4))
    message = problem(read, two_lengths).message
    assert "batch 2 of l holds x: float64 [row, 4]" in message
    assert "ragged" in message
