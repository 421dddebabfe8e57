"""Files of data that came as an object: every form comes back as it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pipelines.data.reading.arrays import convert_result
from pipelines.objects.data_files import REFERENCE, load_data, read_data, read_digest
from pipelines.spec.code_references import load_function
from search_spaces.errors import InputError

X, Y, W = np.arange(8, dtype="int16").reshape(4, 2), np.array([0, 1, 1, 0]), np.ones(4)
TABLE = pd.DataFrame({"a": [1, 2, None, 4], "b": pd.Categorical(["x", "y", "x", "x"]), "t": list("uvuv")})


def store(value, folder):
    """Write data, and return what the loader beside them gives."""
    data = read_data(value)
    data.write(folder)
    assert read_digest(folder) == data.digest
    # Prepared data is compared by the text of its loader.
    assert data.digest in (folder / "data.py").read_text()
    return load_function(REFERENCE, folder, "data.source")()


@pytest.mark.parametrize(
    "value",
    [
        (X, Y),
        (X, Y, W),
        [X, Y],
        X,
        ({"a": X, "b": [Y, X]}, {"c": Y}),
        (np.array(["one", "two", "three", "four"]), Y),
        (tf.ragged.constant([[1], [2, 3], [], [4]]), tf.constant(Y)),
        tf.data.Dataset.from_tensor_slices((X, Y)).batch(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rows_come_back(tmp_path, value):
    """Arrays, structures of them, text, tensors and datasets keep their values, types and batches."""
    again = convert_result(store(value, tmp_path), "again", "data").examples
    before = convert_result(value, "before", "data").examples
    assert again.describe() == before.describe()
    assert read_data(again).digest == read_data(value).digest


def test_tables_come_back(tmp_path):
    """A DataFrame keeps its columns and their types; a target and weights beside it stay beside it."""
    pd.testing.assert_frame_equal(store(TABLE, tmp_path), TABLE)
    table, labels, weights = store((TABLE[["a", "b"]], TABLE["t"], W), tmp_path)
    pd.testing.assert_frame_equal(table, TABLE[["a", "b"]])
    assert (labels["t"].tolist(), weights.tolist()) == (list("uvuv"), [1.0] * 4)


def test_parts_come_back(tmp_path):
    """Each part has its own form."""
    loaded = store({"train": (X, Y), "test": (X[:2], Y[:2])}, tmp_path)
    assert {part: examples.rows for part, examples in loaded.items()} == {"train": 4, "test": 2}


def test_changed_rows_have_another_digest():
    """A value, a type, a label or the part that rows are in."""
    digests = [
        read_data(value).digest
        for value in ((X, Y), (X + 1, Y), (X.astype("int32"), Y), (X, Y, W), {"train": (X, Y)}, TABLE, TABLE[::-1])
    ]
    assert len(set(digests)) == len(digests)
    assert read_data((X.copy(), Y)).digest == digests[0]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((each for each in [(X, Y)]), "data: a generator can be read only once; pass the function that makes it"),
        (iter([X]), "a generator can be read only once"),
        ({"train": (X, Y), "valid": (X, Y)}, 'data holds a part "valid"; did you mean "validation"'),
        ({"tain": (X, Y)}, 'a dict of parts needs the key "train"'),
        ((X, Y[:3]), "data has 4 rows, but y y has 3"),
        (object(), "expected data to return x,"),
    ],
)
def test_what_is_no_data(value, said):
    """The message names what to pass instead."""
    with pytest.raises(InputError) as caught:
        read_data(value)
    assert said in str(caught.value)


def test_a_column_that_parquet_cannot_hold_is_named(tmp_path):
    """Parquet's columns have one type."""
    mixed = pd.DataFrame({"fine": [1, 2], "mixed": [1, "a"]})
    with pytest.raises(InputError, match=r"data: the DataFrame cannot be written as Parquet: .*mixed"):
        read_data(mixed).write(tmp_path)


def test_loading_needs_the_folder_alone(tmp_path):
    """The folder can be renamed: the loader finds its rows beside itself."""
    store((X, Y), tmp_path)
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert load_data(str(moved / "data.py")).rows == 4
