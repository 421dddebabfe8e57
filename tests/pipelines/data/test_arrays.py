"""Sources of values: .npz files, loader functions and tf.data."""

import numpy as np
import pandas as pd
import pytest

from pipelines.data import arrays
from pipelines.data.arrays import call_loader, convert_result, read_npz


def parts_of(raw) -> list[str]:
    return [origin.part or "" for origin in raw.origins]


def test_npz_with_x_and_y(tmp_path):
    """Arrays x and y of a .npz file are features and labels; one feature may be [row]."""
    np.savez(tmp_path / "d.npz", x=np.arange(3.0), y=np.array([0, 1, 1]))
    raw = read_npz(tmp_path / "d.npz", "d.npz", "data.source")
    assert raw.array.shape == (3, 1)
    assert raw.labels["target"].tolist() == [0, 1, 1]


def test_npz_with_parts(tmp_path):
    """x_test and x_validation are given parts; x_train is split as declared."""
    given = {f"x_{part}": np.zeros((rows, 2)) for part, rows in (("train", 5), ("validation", 3), ("test", 2))}
    given |= {f"y_{part}": np.zeros(rows) for part, rows in (("train", 5), ("validation", 3), ("test", 2))}
    np.savez(tmp_path / "d.npz", **given)
    raw = read_npz(tmp_path / "d.npz", "d.npz", "data.source")
    assert parts_of(raw) == ["", "validation", "test"]
    assert raw.rows == 10
    assert raw.format_place(5) == "row 1 of d.npz (validation)"


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"a": np.zeros(3)}, "it holds a"),
        ({"x": np.zeros((3, 1)), "y": np.zeros(2)}, "has 3 rows, y has 2"),
        ({"x_train": np.zeros((3, 1))}, "x_train without y_train"),
        ({"x": np.array(["a", "b"]), "y": np.zeros(2)}, "array of numbers"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, "no rows"),
        ({"x": np.zeros((2, 2)), "y": np.zeros((2, 2, 2))}, "[row] or [row, output]"),
        ({"x": np.array([None, 1], dtype=object), "y": np.zeros(2)}, "cannot be read"),
    ],
)
def test_unusable_npz(tmp_path, problem, held, expected):
    """Missing arrays, unequal lengths, text and Python objects are refused; nothing is unpickled."""
    np.savez(tmp_path / "d.npz", **held)
    assert expected in problem(read_npz, tmp_path / "d.npz", "d.npz", "data.source").message


def test_loader_forms():
    """A loader may give a pair of arrays, a table with labels, columns by name, or one DataFrame."""
    pair = convert_result((np.zeros((2, 3)), [0, 1]), "l", "data.source")
    assert pair.array.shape == (2, 3)
    table = convert_result((pd.DataFrame({"a": [1, 2]}, index=[7, 8]), pd.Series([0, 1], name="t")), "l", "data.source")
    assert list(table.table.index) == [0, 1]
    assert list(table.labels.columns) == ["t"]
    columns = convert_result(({"a": [1.0, 2.0], "b": np.array([b"x", b"y"])}, [0, 1]), "l", "data.source")
    assert columns.table["b"].tolist() == ["x", "y"]
    frame = convert_result(pd.DataFrame({"a": [1], "t": [0]}), "l", "data.source")
    assert frame.labels is None


def test_loader_parts(problem):
    """A dict of parts gives validation and test rows; an unknown part hints at the nearest."""
    x, y = np.zeros((2, 1)), np.zeros(2)
    assert parts_of(convert_result({"train": (x, y), "test": (x, y)}, "l", "data.source")) == ["", "test"]
    found = problem(convert_result, {"train": (x, y), "valdation": (x, y)}, "l", "data.source")
    assert 'did you mean "validation"' in found.message


def test_loader_of_something_else(problem):
    """What is no data names the forms that are."""
    assert "expected l to return (x, y)" in problem(convert_result, 5, "l", "data.source").message


def test_parts_of_different_shapes(problem):
    """Parts whose rows differ in shape are refused."""
    parts = {"train": (np.zeros((2, 1)), [0, 1]), "test": (np.zeros((2, 3)), [0, 1])}
    assert "have shape (3,), expected (1,)" in problem(convert_result, parts, "l", "data.source").message


def test_loader_that_fails(tmp_path, problem):
    """An error in a user's loader is reported with file and line."""
    (tmp_path / "loader.py").write_text("def load():\n    return 1 / 0\n")
    found = problem(call_loader, "loader.py:load", tmp_path, "data.source")
    assert "ZeroDivisionError" in found.message
    assert "(loader.py, line 2)" in found.message


@pytest.mark.parametrize("batch", [None, 2, 4])
def test_tensorflow_dataset(batch):
    """A tf.data.Dataset gives all its rows, batched or not, the last short batch included."""
    import tensorflow as tf

    x, y = np.arange(10, dtype=np.float32).reshape(5, 2), np.array([0, 1, 0, 1, 0])
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    raw = convert_result(dataset.batch(batch) if batch else dataset, "l", "data.source")
    assert np.array_equal(raw.array, x)
    assert raw.labels["target"].tolist() == y.tolist()


def test_tensorflow_dataset_of_columns():
    """A dataset of columns by name becomes a table, its bytes text."""
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(({"a": [1.0, 2.0], "b": ["x", "y"]}, [0, 1])).batch(2)
    raw = convert_result(dataset, "l", "data.source")
    assert raw.table["b"].tolist() == ["x", "y"]


def test_endless_dataset(problem, monkeypatch):
    """An infinite dataset is refused before a row is read, and one that hides its length after a bounded number."""
    import tensorflow as tf

    monkeypatch.setattr(arrays, "MOST_ROWS", 5)
    dataset = tf.data.Dataset.from_tensor_slices((np.zeros((2, 1)), [0, 1])).repeat()
    assert "infinite" in problem(convert_result, dataset, "l", "data.source").message
    hidden = dataset.filter(lambda *_: True)
    assert "more than 5 elements" in problem(convert_result, hidden, "l", "data.source").message
