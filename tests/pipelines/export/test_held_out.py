"""Ragged and sparse rows for runtimes that know arrays only."""

import numpy as np
import tensorflow as tf
from scipy import sparse

from pipelines.export.held_out import list_filled, make_dense
from pipelines.export.parity import measure_latency

ROWS = {
    "words": tf.ragged.constant([[1, 2], [3], []]),
    "counts": sparse.csr_matrix(np.eye(3)),
    "links": tf.sparse.from_dense(np.eye(3, dtype=np.int32)),
    "plain": np.ones((3, 2)),
}


def test_rows_of_any_kind_become_arrays():
    """Ragged rows are padded to the longest, sparse ones filled with zeros, and both are named."""
    dense = make_dense(ROWS)
    np.testing.assert_array_equal(dense["words"], [[1, 2], [3, 0], [0, 0]])
    np.testing.assert_array_equal(dense["counts"], np.eye(3))
    np.testing.assert_array_equal(dense["links"], np.eye(3))
    assert dense["counts"].dtype == dense["plain"].dtype == np.float32
    assert list_filled(ROWS) == ["words is padded", "counts is dense", "links is dense"]


def test_latency_of_rows_of_any_kind():
    """The rows of a batch are repeated whatever holds them."""
    seen = []
    measure_latency(lambda rows: seen.append(rows) or (), ROWS, lambda: None, batches=[4])
    assert {name: values.shape[0] for name, values in seen[0].items()} == dict.fromkeys(ROWS, 4)
