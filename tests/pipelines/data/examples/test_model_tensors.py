"""Tensors of examples, as Keras's own `fit` makes them."""

import numpy as np
import tensorflow as tf
from scipy import sparse

from pipelines.data.examples.model_tensors import can_gather, make_tensors, measure_bytes


def test_types_are_those_of_fit():
    """Floats get Keras's float type; whole numbers, Booleans and text keep theirs."""
    made = make_tensors({"a": np.zeros(2, "float64"), "b": [np.zeros(2, "uint8"), np.array(["x", "y"], dtype=object)]})
    assert made["a"].dtype == tf.float32
    assert [each.dtype for each in made["b"]] == [tf.uint8, tf.string]
    assert make_tensors(tf.ragged.constant([[1.0], []], dtype=tf.float64)).dtype == tf.float32
    assert make_tensors(None) is None


def test_sparse_rows_cannot_be_picked_in_a_graph():
    """Sparse leaves become sparse tensors, which have no operation that picks rows."""
    rows = sparse.csr_matrix(np.eye(3))
    assert isinstance(make_tensors(rows), tf.SparseTensor)
    assert not can_gather([np.zeros(3), rows])
    assert can_gather(None)
    assert can_gather({"a": tf.ragged.constant([[1], []])})


def test_sizes():
    """The size is that of the values."""
    assert measure_bytes([np.zeros(4, "float32"), tf.ragged.constant([[1, 2], [3]], dtype=tf.int32)]) == 28
    assert measure_bytes(sparse.csr_matrix(np.eye(3))) == 24
    assert measure_bytes(None) == 0
