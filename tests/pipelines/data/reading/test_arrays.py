"""Sources of values: .npz files and loader functions."""

import numpy as np
import pandas as pd
import pytest

from pipelines.data.examples.examples import read_examples
from pipelines.data.reading.arrays import call_loader, convert_result, flatten_examples, read_npz


def parts_of(raw) -> list[str]:
    return [origin.part or "" for origin in raw.origins]


def convert(result):
    return convert_result(result, "l", "data.source")


def test_npz_with_x_and_y(tmp_path):
    """Arrays x and y of a .npz file are examples; as features, one number a row is a column."""
    np.savez(tmp_path / "d.npz", x=np.arange(3.0), y=np.array([0, 1, 1]))
    raw = read_npz(tmp_path / "d.npz", "d.npz", "data.source")
    assert raw.examples.x.tolist() == [0.0, 1.0, 2.0]
    flat = flatten_examples(raw)
    assert flat.array.shape == (3, 1)
    assert flat.labels["target"].tolist() == [0, 1, 1]


def test_npz_with_parts(tmp_path):
    """x_test and x_validation are given parts; x_train is split as declared."""
    given = {f"x_{part}": np.zeros((rows, 2)) for part, rows in (("train", 5), ("validation", 3), ("test", 2))}
    given |= {f"y_{part}": np.zeros(rows) for part, rows in (("train", 5), ("validation", 3), ("test", 2))}
    np.savez(tmp_path / "d.npz", **given)
    raw = read_npz(tmp_path / "d.npz", "d.npz", "data.source")
    assert parts_of(raw) == ["", "validation", "test"]
    assert raw.rows == raw.examples.rows == 10
    assert raw.format_place(5) == "row 1 of d.npz (validation)"


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"a": np.zeros(3)}, "it holds a"),
        ({"x": np.zeros((3, 1)), "y": np.zeros(2)}, "has 3 rows, but y y has 2"),
        ({"x_train": np.zeros((3, 1)), "y_train": np.zeros(3), "x_test": np.zeros((3, 1))}, "x_test without y_test"),
        ({"x": np.zeros((2, 1)), "y": np.zeros(2), "w": np.ones(2)}, 'holds an array "w"'),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, "no rows"),
        ({"x": np.array([None, 1], dtype=object), "y": np.zeros(2)}, "cannot be read"),
    ],
)
def test_unusable_npz(tmp_path, problem, held, expected):
    """Missing arrays, unequal lengths, unknown arrays and Python objects are refused; nothing is unpickled."""
    np.savez(tmp_path / "d.npz", **held)
    assert expected in problem(read_npz, tmp_path / "d.npz", "d.npz", "data.source").message


@pytest.mark.parametrize(
    ("result", "described"),
    [
        ((np.zeros((2, 3)), [0, 1]), "x: float64 [row, 3]; y: int64 [row]"),
        (
            (np.zeros((2, 3), "uint8"), np.zeros((2, 4, 4, 1), "float16")),
            "x: uint8 [row, 3]; y: float16 [row, 4, 4, 1]",
        ),
        ({"a": np.zeros(2), "b": np.array(["x", "y"])}, "x: a float64 [row], b string [row]"),
        (
            ([np.zeros(2), np.zeros((2, 5))], {"p": np.zeros(2)}),
            "x: x_0 float64 [row], x_1 float64 [row, 5]; y: p float64 [row]",
        ),
        (np.zeros((2, 1), "int8"), "x: int8 [row, 1]"),
    ],
)
def test_loader_forms(result, described):
    """A loader may give x alone or with y, each an array or a structure of arrays, of any type and shape."""
    assert convert(result).examples.describe().describe() == described


def test_loader_of_weights():
    """A third value is the weights of the rows."""
    raw = convert((np.zeros((2, 1)), np.zeros(2), np.array([1.0, 3.0])))
    assert raw.examples.sample_weight.tolist() == [1.0, 3.0]
    assert flatten_examples(raw).weights.tolist() == [1.0, 3.0]


def test_loader_of_a_table():
    """A DataFrame is a table, alone or with labels beside it."""
    table = convert((pd.DataFrame({"a": [1, 2]}, index=[7, 8]), pd.Series([0, 1], name="t")))
    assert list(table.table.index) == [0, 1]
    assert list(table.labels.columns) == ["t"]
    assert convert(pd.DataFrame({"a": [1], "t": [0]})).labels is None


def test_columns_by_name_become_a_table_for_preprocessing():
    """A dict of columns goes to preprocessing as a table, its bytes text."""
    raw = flatten_examples(convert(({"a": [1.0, 2.0], "b": np.array([b"x", b"y"])}, [0, 1])))
    assert raw.table["b"].tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (([np.zeros(2), np.zeros(2)], np.zeros(2)), "to be columns or one array of numbers, got x: x_0"),
        ((np.array(["a", "b"]), np.zeros(2)), "one array of numbers, got x: string [row]"),
        (np.zeros((2, 1)), "gives no y"),
        ((np.zeros((2, 1)), np.zeros((2, 2, 2))), "[row] or [row, output], got shape (2, 2, 2)"),
        ((np.zeros((2, 1)), {"a": np.zeros(2)}), "expected y of l to be one array, got dict"),
        (({"a": np.zeros((2, 3))}, np.zeros(2)), 'expected column "a" of l to be [row], got shape'),
    ],
)
def test_examples_that_have_no_columns(problem, result, expected):
    """What preprocessing cannot take says so, and that a user model can."""
    message = problem(flatten_examples, convert(result)).message
    assert expected.replace("got shape", "got") in message.replace("got shape", "got")
    assert "model: file.py:build" in message


def test_loader_parts(problem):
    """A dict of parts gives validation and test rows; an unknown part hints at the nearest."""
    x, y = np.zeros((2, 1)), np.zeros(2)
    assert parts_of(convert({"train": (x, y), "test": (x, y)})) == ["", "test"]
    assert 'did you mean "validation"' in problem(convert, {"train": (x, y), "valdation": (x, y)}).message
    assert 'needs the key "train"' in problem(convert, {"trian": (x, y)}).message


def test_loader_of_something_else(problem):
    """What is no data names the forms that are."""
    assert "expected l to return x, (x, y) or (x, y, sample_weight)" in problem(convert, 5).message
    assert "got a tuple of 4" in problem(convert, (1, 2, 3, 4)).message


def test_parts_of_different_shapes(problem):
    """Parts whose rows differ in shape or type are refused."""
    parts = {"train": (np.zeros((2, 1)), [0, 1]), "test": (np.zeros((2, 3)), [0, 1])}
    message = problem(convert, parts).message
    assert "float64 [row, 3]" in message
    assert "float64 [row, 1]" in message


def test_loader_that_fails(tmp_path, problem):
    """An error in a user's loader is reported with file and line."""
    (tmp_path / "loader.py").write_text("def load():\n    return 1 / 0\n")
    found = problem(call_loader, "loader.py:load", tmp_path, "data.source")
    assert "ZeroDivisionError" in found.message
    assert "(loader.py, line 2)" in found.message


def test_examples_keep_their_origin():
    """Rows of examples have places as other rows have."""
    assert read_examples(np.zeros(2), None, None, "l", "data.source").rows == 2
    assert convert(np.zeros(2)).format_place(1) == "row 2"
