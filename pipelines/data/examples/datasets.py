"""Datasets and generators, read whole into arrays: `tf.data.Dataset`, `keras.utils.PyDataset`, Python's generators.

An element is what `Model.fit` takes from a dataset: x, or (x,), (x, y) or (x, y, sample_weight), each nested. Whether
an element is a batch or a row is known by the dataset's steps, and else by Keras's rule: it is a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from inspect import isgenerator
from itertools import chain
from typing import Any

import numpy as np

from pipelines.data.examples.examples import Examples, concatenate_examples, read_examples
from pipelines.data.examples.leaves import is_ragged
from pipelines.data.examples.structures import Structure, flatten, map_leaves
from search_spaces.errors import InputError, Problem

MOST_ROWS = 2_000_000  # chosen; for a source that does not know its length, and so may be endless
MOST_BYTES = 2**30  # chosen likewise: read in seconds
_READ_ROWS = 1024  # rows of a dataset of rows that are read at once
# Names of TensorFlow's classes, which are not public.
_BATCHING = ("Batch", "ParallelBatch", "PaddedBatch", "MapAndBatch", "DenseToRagged", "DenseToSparse", "Rebatch")
_ROW_SOURCES = ("Unbatch", "UnBatch", "TensorSlice", "TextLine", "TFRecord", "Range", "SparseTensorSlice", "Window")


def is_dataset(value: object) -> bool:
    """Return whether a value is a dataset or a generator."""
    return _is_tf_dataset(value) or _is_keras_dataset(value) or isgenerator(value)


def read_dataset(dataset: Any, name: str, key: str) -> Examples:
    """Return all rows of a dataset or a generator.

    Raises:
        InputError: if it is endless or empty, or its elements cannot be joined.
    """
    if _is_tf_dataset(dataset):
        return _read_tf_dataset(dataset, name, key)
    if _is_keras_dataset(dataset):
        batches = _count_keras_batches(dataset, name, key)
        return _join((dataset[index] for index in range(batches)), name, key, is_bounded=True)
    return _join(dataset, name, key, is_bounded=False)


def split_element(element: Any) -> tuple[Any, Any, Any]:
    """Return x, y and sample weights of an element by Keras's rule; None for those that it has not."""
    if not isinstance(element, tuple | list):
        return element, None, None
    padded = [*element, None, None]
    return padded[0], padded[1], padded[2]


def _is_tf_dataset(value: object) -> bool:
    # By attribute: importing TensorFlow for the class takes seconds.
    return hasattr(value, "element_spec") and hasattr(value, "cardinality")


def _is_keras_dataset(value: object) -> bool:
    return hasattr(value, "num_batches") and hasattr(value, "__getitem__")


def _count_keras_batches(dataset: Any, name: str, key: str) -> int:
    batches = dataset.num_batches
    if batches is None:
        raise InputError(Problem(f"{name} is endless: give the dataset a length with __len__", key))
    return int(batches)


def _read_tf_dataset(dataset: Any, name: str, key: str) -> Examples:
    cardinality = int(dataset.cardinality())
    # -1 is tf.data.INFINITE_CARDINALITY.
    if cardinality == -1:
        message = f"the dataset of {name} is infinite; leave out repeat(), or end it with take()"
        raise InputError(Problem(message, key))
    if cardinality == 0:
        raise InputError(Problem(f"the dataset of {name} is empty", key))
    is_bounded = cardinality >= 0
    if _holds_batches(dataset):
        return _join(iter(dataset), name, key, is_bounded=is_bounded)
    joined = _join(iter(dataset.batch(_READ_ROWS)), name, key, is_bounded=is_bounded)
    return Examples(joined.x, joined.y, joined.sample_weight, batch_size=0)


def _holds_batches(dataset: Any) -> bool:
    """Return whether an element is a batch: by the last step that makes or unmakes batches, else by the shapes."""
    step = dataset
    while step is not None:
        kind = type(step).__name__.lstrip("_").removesuffix("Dataset").removesuffix("V2")
        if kind in _BATCHING:
            return True
        if kind in _ROW_SOURCES:
            return False
        # What a function returns for each element is its own matter; a generator is such a step, too.
        if kind in ("FlatMap", "Interleave", "ParallelInterleave"):
            break
        zipped = flatten(getattr(step, "_datasets", ()))
        step = zipped[0] if zipped else getattr(step, "_input_dataset", None)
    shapes = [spec.shape for spec in flatten(_convert_tensors(dataset.element_spec))]
    # A scalar is one row's; and rows of different lengths are no batch.
    if any(shape.rank == 0 for shape in shapes):
        return False
    lengths = {None if shape.rank is None else shape[0] for shape in shapes}
    return len(lengths) == 1


def _join(elements: Iterable[Any], name: str, key: str, *, is_bounded: bool) -> Examples:
    """Return the rows of all batches; a source of unknown length is given up where it does not end in good time."""
    parts: list[Examples] = []
    rows = size = 0
    for element in _iterate(elements, name, key):
        parts.append(_read_batch(element, name, key))
        rows += parts[-1].rows
        size += sum(_measure(leaf) for leaf in flatten([parts[-1].x, parts[-1].y]) if leaf is not None)
        if not is_bounded and (rows > MOST_ROWS or size > MOST_BYTES):
            what = f"{MOST_ROWS:,} rows" if rows > MOST_ROWS else f"{MOST_BYTES / 1e9:.1f} GB"
            message = (
                f"{name} is of unknown length and gave more than {what} without an end; if it is infinite, end it with "
                "take(), else state its length with tf.data.experimental.assert_cardinality"
            )
            raise InputError(Problem(message, key))
    if not parts:
        raise InputError(Problem(f"{name} is empty", key))
    forms = [part.describe() for part in parts]
    for index, form in enumerate(forms):
        if form != forms[0]:
            message = (
                f"batch {index + 1} of {name} holds {form.describe()}, but batch 1 holds {forms[0].describe()}; "
                "expected rows of one shape: pad them to one length, or return a ragged tensor"
            )
            raise InputError(Problem(message, key))
    joined = concatenate_examples(parts)
    return Examples(joined.x, joined.y, joined.sample_weight, batch_size=parts[0].rows)


def _iterate(elements: Iterable[Any], name: str, key: str) -> Iterator[Any]:
    iterator = iter(elements)
    try:
        first = next(iterator, None)
        if first is not None:
            yield from chain([first], iterator)
    except Exception as error:
        # TensorFlow's errors of batches that do not fit together, by name: importing it takes seconds.
        if type(error).__name__ == "InvalidArgumentError" and "batch" in str(error):
            message = f"rows of {name} differ in shape; pad them (padded_batch), or give ragged_batch()"
            raise InputError(Problem(message, key)) from error
        raise


def _read_batch(element: Any, name: str, key: str) -> Examples:
    x, y, weight = split_element(_convert_tensors(element))
    return read_examples(x, y, weight, name, key)


def _convert_tensors(element: Structure) -> Structure:
    """Return the element with TensorFlow's tensors as numpy arrays, ragged and sparse ones unchanged."""
    return map_leaves(lambda leaf: leaf.numpy() if hasattr(leaf, "numpy") and not is_ragged(leaf) else leaf, element)


def _measure(leaf: Any) -> int:
    if is_ragged(leaf):
        return int(np.asarray(leaf.flat_values).nbytes)
    return int(leaf.matrix.data.nbytes if hasattr(leaf, "matrix") else leaf.nbytes)
