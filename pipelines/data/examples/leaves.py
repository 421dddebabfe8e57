"""Leaves of a structure of examples: arrays of numbers, text, ragged and sparse rows.

A leaf's value is a numpy array (text as Python strings in an array of objects), a `SparseRows`, a `PictureRows`, or a
`tf.RaggedTensor`. TensorFlow is recognised by attributes: importing it takes seconds, and most data needs none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.examples.picture_rows import PictureRows
from pipelines.data.examples.structures import Leaf

_NUMBERS = "biuf"


class LeafError(ValueError):
    """A value that cannot be an input or a target of a model; the message begins with what was expected."""


@dataclass(frozen=True)
class SparseRows:
    """Sparse rows [row, column].

    Attributes:
        matrix: a `scipy.sparse.csr_matrix`.
        is_tensor: whether the model takes a `tf.SparseTensor`, as its author's data was.
    """

    matrix: Any
    is_tensor: bool

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.matrix.shape[0])


def is_ragged(value: object) -> bool:
    """Return whether a value is a `tf.RaggedTensor`."""
    return hasattr(value, "nested_row_splits")


def is_leaf(value: object) -> bool:
    """Return whether a value is an array of rows by its type, and not a list of numbers."""
    # A number of numpy's has an empty shape.
    return is_ragged(value) or len(getattr(value, "shape", ())) > 0


def read_leaf(value: Any) -> Any:
    """Return the value as a leaf: unchanged in type and shape, text as Python strings.

    Raises:
        LeafError: if it has no rows, or holds what no model takes.
    """
    if is_ragged(value):
        return value
    if hasattr(value, "dense_shape") and hasattr(value, "indices"):
        return SparseRows(_convert_sparse_tensor(value), is_tensor=True)
    if hasattr(value, "tocsr"):
        return SparseRows(value.tocsr(), is_tensor=False)
    if hasattr(value, "to_numpy"):  # a column or a table of pandas
        value = value.to_numpy()
    array = np.asarray(value)
    if array.ndim == 0:
        raise LeafError(f"expected an array with one entry a row, got {type(value).__name__}")
    if array.dtype.kind in "SUO":
        return _read_text(array)
    if array.dtype.kind not in _NUMBERS:
        raise LeafError(f"expected numbers or text, got values of type {array.dtype}; convert them")
    return array


def describe_leaf(name: str, value: Any) -> Leaf:
    """Return the description of a leaf."""
    if is_ragged(value):
        # The first axis is the rows'.
        return Leaf(name, tuple(value.shape[1:]), _name_dtype(value.dtype.as_numpy_dtype), "ragged")
    if isinstance(value, SparseRows):
        return Leaf(name, tuple(value.matrix.shape[1:]), _name_dtype(value.matrix.dtype), "sparse")
    if value.dtype.kind == "O":
        return Leaf(name, value.shape[1:], "string", "text")
    return Leaf(name, value.shape[1:], str(value.dtype))


def count_rows(value: Any) -> int:
    """Return the number of rows of a leaf."""
    # By shape: SciPy's matrices have no length.
    return len(value) if isinstance(value, SparseRows) else int(value.shape[0])


def take_rows(value: Any, rows: Array | slice) -> Any:
    """Return some rows of a leaf: a slice, or an array of row numbers."""
    if isinstance(value, SparseRows):
        return SparseRows(value.matrix[rows], value.is_tensor)
    if is_ragged(value):
        import tensorflow as tf

        return value[rows] if isinstance(rows, slice) else tf.gather(value, rows)
    if hasattr(value, "dense_shape"):  # a `tf.SparseTensor`, as a model takes it
        return _make_sparse_tensor(_convert_sparse_tensor(value)[rows])
    if isinstance(rows, slice) or isinstance(value, np.ndarray | PictureRows) or hasattr(value, "tocsr"):
        return value[rows]
    import tensorflow as tf

    return tf.gather(value, rows)


def concatenate(values: Sequence[Any]) -> Any:
    """Return the rows of several leaves of one kind, one after the other."""
    if len(values) == 1:
        return values[0]
    if isinstance(values[0], SparseRows):
        from scipy import sparse  # a fifth of a second

        return SparseRows(sparse.vstack([each.matrix for each in values], format="csr"), values[0].is_tensor)
    if is_ragged(values[0]):
        import tensorflow as tf

        return tf.concat(values, axis=0)
    return np.concatenate(values)


def save_leaf(stem: Path, value: Any) -> None:
    """Write a leaf to files whose names begin with `stem`."""
    if isinstance(value, SparseRows):
        from scipy import sparse

        sparse.save_npz(_add_suffix(stem, ".sparse.npz"), value.matrix)
        if value.is_tensor:
            _add_suffix(stem, ".tensor").touch()
    elif is_ragged(value):
        # Text as UTF-8 of a fixed width: numpy pickles objects.
        flat = np.asarray(value.flat_values)
        flat = flat.astype("S") if flat.dtype.kind == "O" else flat
        splits: dict[str, Any] = {
            f"splits_{index}": np.asarray(each) for index, each in enumerate(value.nested_row_splits)
        }
        np.savez(_add_suffix(stem, ".ragged.npz"), flat=flat, **splits)
    elif value.dtype.kind == "O":
        import pandas as pd  # half a second, and few leaves are text

        table = pd.DataFrame({"text": value.reshape(-1)})
        table.to_parquet(_add_suffix(stem, ".text.parquet"), index=False)
    else:
        np.save(_add_suffix(stem, ".npy"), value)


def load_leaf(stem: Path, leaf: Leaf) -> Any:
    """Return a leaf that `save_leaf` wrote: numbers are mapped into memory, read-only."""
    if leaf.form == "array":
        return np.load(_add_suffix(stem, ".npy"), mmap_mode="r")
    if leaf.form == "text":
        import pandas as pd

        text = pd.read_parquet(_add_suffix(stem, ".text.parquet"))["text"].to_numpy(dtype=object)
        return text.reshape(-1, *leaf.shape)
    if leaf.form == "sparse":
        from scipy import sparse

        matrix = sparse.load_npz(_add_suffix(stem, ".sparse.npz"))
        return SparseRows(matrix, _add_suffix(stem, ".tensor").exists())
    import tensorflow as tf

    with np.load(_add_suffix(stem, ".ragged.npz")) as file:
        splits = [file[f"splits_{index}"] for index in range(len(file.files) - 1)]
        return tf.RaggedTensor.from_nested_row_splits(tf.constant(file["flat"]), splits)


def convert_for_model(value: Any) -> Any:
    """Return a leaf as a model takes it: sparse rows in their author's form, text as a tensor where it has axes."""
    if isinstance(value, SparseRows):
        return _make_sparse_tensor(value.matrix) if value.is_tensor else value.matrix
    # Keras takes an array of Python strings only where it has one axis.
    if isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.ndim > 1:
        import tensorflow as tf

        return tf.constant(value.tolist(), dtype=tf.string, shape=value.shape)
    return value


def update_leaf_digest(digest: Any, value: Any) -> None:
    """Add a leaf's values, type and shape to a digest."""
    if isinstance(value, SparseRows):
        parts: Iterable[Any] = (value.matrix.data, value.matrix.indices, value.matrix.indptr)
    elif is_ragged(value):
        parts = (np.asarray(value.flat_values), *(np.asarray(each) for each in value.nested_row_splits))
    else:
        parts = (value,)
    for part in parts:
        digest.update(f"{part.dtype} {part.shape}".encode())
        if part.dtype.kind == "O":
            import pandas as pd

            digest.update(pd.util.hash_array(part.reshape(-1).astype(str).astype(object)).tobytes())
        else:
            digest.update(np.ascontiguousarray(part).tobytes())


def _read_text(array: Array) -> Array:
    """Return strings in an array of objects: arrays of a fixed width cut strings off at their width."""
    flat = array.astype(object).reshape(-1)
    for value in flat:
        if not isinstance(value, str | bytes):
            kind = "missing" if value is None or isinstance(value, float) else type(value).__name__
            raise LeafError(f"expected numbers or text, got objects, among them {kind}; convert them")
    # TensorFlow gives bytes.
    words = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in flat]
    return np.array(words, dtype=object).reshape(array.shape)


def _convert_sparse_tensor(tensor: Any) -> Any:
    from scipy import sparse

    shape = tuple(int(length) for length in np.asarray(tensor.dense_shape))
    if len(shape) != 2:
        raise LeafError(f"expected a sparse tensor [row, column], got shape {shape}; use tf.sparse.to_dense")
    indices = np.asarray(tensor.indices)
    return sparse.csr_matrix((np.asarray(tensor.values), (indices[:, 0], indices[:, 1])), shape=shape)


def _make_sparse_tensor(matrix: Any) -> Any:
    import tensorflow as tf

    entries = matrix.tocoo()
    indices = np.stack([entries.row, entries.col], axis=1).astype(np.int64)
    return tf.sparse.reorder(tf.SparseTensor(indices, entries.data, entries.shape))


def _name_dtype(dtype: Any) -> str:
    name = str(np.dtype(dtype))
    return "string" if name == "object" else name


def _add_suffix(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)
