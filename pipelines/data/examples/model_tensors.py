"""Tensors of a structure of examples, as `Model.fit` makes them: other floats become Keras's own float type."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.data.examples.leaves import is_ragged
from pipelines.data.examples.picture_rows import PictureRows, widen
from pipelines.data.examples.structures import Structure, flatten, map_leaves


def make_row_tensors(structure: Structure) -> Structure:
    """Return what `make_tensors` returns, with stored pictures as `PictureTensor`; for `gather_rows`."""
    return map_leaves(
        lambda leaf: PictureTensor(leaf) if isinstance(leaf, PictureRows) else _make_tensor(leaf), structure
    )


def make_tensors(structure: Structure) -> Structure:
    """Return the structure with its leaves as TensorFlow's tensors; None stays None."""
    return None if structure is None else map_leaves(_make_tensor, structure)


class PictureTensor:
    """Stored pictures as a tensor of bytes, of which a graph widens a batch: a quarter of the memory.

    The operations are those of `PictureRows`, each rounded by itself, so the numbers are equal to the bit.
    """

    def __init__(self, rows: PictureRows) -> None:
        self.shape = rows.shape
        self._stored = tf.convert_to_tensor(np.asarray(rows.stored))
        self._center, self._factor, self._is_flat = rows.center, rows.factor, rows.is_flat

    def gather(self, chosen: Any) -> Any:
        """Return the chosen rows as numbers of Keras's own float type."""
        widened = (tf.cast(tf.gather(self._stored, chosen), tf.float32) - self._center) * self._factor
        if self._is_flat:
            widened = tf.reshape(widened, [-1, self.shape[1]])
        return tf.cast(widened, keras.config.floatx())


def gather_rows(tensor: Any, chosen: Any) -> Any:
    """Return the chosen rows of a tensor, or of a `PictureTensor`."""
    return tensor.gather(chosen) if isinstance(tensor, PictureTensor) else tf.gather(tensor, chosen)


def can_gather(structure: Structure) -> bool:
    """Return whether a graph can pick rows of all leaves: sparse ones have no such operation."""
    leaves = [] if structure is None else flatten(structure)
    return not any(hasattr(leaf, "tocsr") or isinstance(leaf, tf.SparseTensor) for leaf in leaves)


def measure_bytes(structure: Structure) -> int:
    """Return the bytes of all leaves' values."""
    leaves = [] if structure is None else flatten(structure)
    return sum(_measure(leaf) for leaf in leaves)


def _make_tensor(leaf: Any) -> Any:
    leaf = widen(leaf)
    if hasattr(leaf, "tocsr"):
        entries = leaf.tocoo()
        indices = np.stack([entries.row, entries.col], axis=1).astype(np.int64)
        leaf = tf.sparse.reorder(tf.SparseTensor(indices, entries.data, entries.shape))
    elif isinstance(leaf, np.ndarray) and leaf.dtype.kind == "O":
        return tf.constant(leaf.tolist(), dtype=tf.string, shape=leaf.shape)
    elif isinstance(leaf, np.ndarray):
        # Reads a mapped file into memory.
        leaf = tf.convert_to_tensor(np.asarray(leaf))
    return tf.cast(leaf, keras.config.floatx()) if leaf.dtype.is_floating else leaf


def _measure(leaf: Any) -> int:
    if isinstance(leaf, PictureRows):
        return leaf.nbytes
    if hasattr(leaf, "tocsr"):
        return int(leaf.data.nbytes)
    if isinstance(leaf, np.ndarray):
        # Python's strings are elsewhere; an estimate.
        return int(leaf.nbytes) * (8 if leaf.dtype.kind == "O" else 1)
    values = leaf.flat_values if is_ragged(leaf) else getattr(leaf, "values", leaf)
    return int(tf.size(values)) * int(values.dtype.size)
