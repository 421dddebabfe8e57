"""Examples on disk and in memory: what goes in comes out."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy import sparse

from pipelines.data.examples.examples import Examples, concatenate_examples, load_examples, read_examples
from pipelines.data.examples.leaves import convert_for_model
from pipelines.data.examples.structures import flatten

RAGGED = tf.ragged.constant([[1, 2], [], [3]])
VALUES = {
    "float16": np.arange(6, dtype="float16").reshape(3, 2),
    "int64": np.array([1, 2**62, -3]),
    "bool": np.array([True, False, True]),
    "text": np.array(["ä", "", "long text"], dtype=object),
    "text rows": np.array([["a", "b"], ["c", "d"], ["e", "f"]], dtype=object),
    "sparse": sparse.csr_matrix(np.eye(3)),
    "sparse tensor": tf.sparse.from_dense(np.eye(3)),
    "ragged": RAGGED,
    "ragged text": tf.ragged.constant([["a"], ["b", "c"], []]),
    "tensor": tf.constant([[1.0], [2.0], [3.0]]),
    "series": pd.Series([1, 2, 3]),
}


def to_list(leaf):
    if hasattr(leaf, "tocsr"):
        return leaf.toarray().tolist()
    if isinstance(leaf, tf.SparseTensor):
        return tf.sparse.to_dense(leaf).numpy().tolist()
    return leaf.to_list() if hasattr(leaf, "to_list") else np.asarray(leaf).tolist()


def decode(value):
    """Return nested lists with bytes as text: TensorFlow gives text as bytes."""
    if isinstance(value, list):
        return [decode(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


def read(x, y=None, weight=None):
    return read_examples(x, y, weight, "l", "data.source")


@pytest.mark.parametrize("kind", VALUES)
def test_values_survive_the_disk(kind, tmp_path):
    """Every kind of leaf is the same after it was written and read, whole and row by row."""
    examples = read(VALUES[kind], y=(np.arange(3),))
    examples.take(np.array([0, 2])).save(tmp_path / "part")
    stored = load_examples(tmp_path / "part", examples.describe())
    # Rows that are stored twice, such as a loader's, are the same again.
    stored.save(tmp_path / "twice")
    again = load_examples(tmp_path / "twice", stored.describe()).map(convert_for_model)
    expected = to_list(VALUES[kind])
    assert decode(to_list(again.x)) == decode([expected[0], expected[2]])
    assert again.y[0].tolist() == [0, 2]
    assert to_list(again.take(slice(1)).x) == to_list(again.x)[:1]
    if kind in ("float16", "int64", "bool"):
        assert again.x.dtype == kind


def test_parts_are_joined():
    """Rows of several parts follow each other, leaf by leaf."""
    part = read({"a": np.arange(3), "r": RAGGED, "s": sparse.csr_matrix(np.eye(3))}, y=np.arange(3))
    joined = concatenate_examples([part, part.take(slice(1))])
    assert joined.rows == 4
    assert [len(flatten(joined.x)), joined.y.tolist()] == [3, [0, 1, 2, 0]]


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (np.zeros(3), np.zeros(2), "x of l has 3 rows, but y y has 2"),
        ({"a": np.zeros(3), "b": np.zeros(4)}, None, "a of l has 3 rows, but b has 4"),
        (np.array([{}, {}], dtype=object), None, "among them dict"),
        (np.array(["a", None], dtype=object), None, "among them missing"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), None, "values of type datetime64"),
        (5, None, "expected an array with one entry a row, got int"),
        ({}, None, "gives no x"),
    ],
)
def test_what_no_model_takes(problem, x, y, expected):
    """Values that are no rows of numbers or text are refused with their place."""
    assert expected in problem(read, x, y).message


def test_a_list_of_arrays_is_several_inputs():
    """A list of numbers is one array; a list of arrays is a structure."""
    assert read([1, 2, 3]).x.tolist() == [1, 2, 3]
    assert read([[1.0, 2.0], [3.0, 4.0]]).x.shape == (2, 2)
    assert len(read([np.zeros(2), np.zeros(2)]).x) == 2


def test_digests_see_values_types_and_structure():
    """Other values, another type or another structure give another digest."""

    def digest(examples: Examples) -> str:
        made = hashlib.sha256()
        examples.update_digest(made)
        return made.hexdigest()

    x = np.arange(4.0)
    variants = [read(x), read(x.astype("float32")), read(x[::-1]), read({"x": x}), read(x, y=x), read(x, weight=x)]
    assert len({digest(each) for each in variants}) == len(variants)
    assert digest(read(x)) == digest(read(x.copy()))
