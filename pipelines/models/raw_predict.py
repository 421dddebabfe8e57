"""Predictions of a deployed model, whose inputs are raw columns by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import keras
import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.examples.leaves import take_rows
from pipelines.data.raw_inputs import Pack

BATCH_ROWS = 1024
_BATCH_BYTES = 2**27  # of the outputs of all layers, which a functional model keeps until its end


def predict_raw(model: keras.Model, raw: Mapping[str, Array], pack: Pack = dict) -> Array:
    """Return the predictions [row, ...] of a model with one output for raw columns, in batches."""
    (only,) = predict_outputs(model, raw, pack)
    return only


def predict_outputs(model: keras.Model, raw: Mapping[str, Array], pack: Pack = dict) -> tuple[Array, ...]:
    """Return the predictions of a model for raw columns, in batches.

    Args:
        model: the model.
        raw: its inputs by name.
        pack: converts them to the structure that the model takes.

    Returns:
        The model's outputs in the order of Keras's `flatten`.
    """
    # Called directly: `predict` would trace a graph first, which pays for many rows only.
    batches = iterate_batches(raw, choose_batch_rows(model))
    return join_batches(keras.tree.flatten(model(pack(batch), training=False)) for batch in batches)


def choose_batch_rows(model: keras.Model) -> int:
    """Return how many rows a model predicts at a time: 1024, and fewer where its layers' outputs would be large."""
    return max(1, min(BATCH_ROWS, _BATCH_BYTES // max(1, _measure_outputs(model))))


def _measure_outputs(model: keras.Model) -> int:
    """Return the bytes of all layers' outputs for a row, as far as they are known, with float32."""
    found = 0
    for layer in getattr(model, "layers", ()):
        if getattr(layer, "layers", None):
            found += _measure_outputs(layer)
            continue
        # One without an output, or with several, raises.
        with suppress(AttributeError, ValueError):
            for output in keras.tree.flatten(layer.output):
                found += 4 * math.prod(size or 1 for size in output.shape[1:])
    return found


def predict_parts(model: keras.Model, parts: Iterable[Mapping[str, Array]], pack: Pack = dict) -> tuple[Array, ...]:
    """Return what `predict_outputs` returns for raw columns that come some rows at a time."""
    found = [predict_outputs(model, raw, pack) for raw in parts]
    return tuple(np.concatenate(outputs) for outputs in zip(*found, strict=True))


def join_batches(batches: Iterator[list[Any]]) -> tuple[Array, ...]:
    """Return the rows of each output, given batch by batch."""
    parts = [[_convert_to_numpy(output) for output in outputs] for outputs in batches]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def iterate_batches(raw: Mapping[str, Array], rows: int = BATCH_ROWS) -> Iterator[dict[str, Any]]:
    """Yield raw columns as tensors on TensorFlow, since Keras refuses NumPy arrays of strings, else as arrays."""
    convert = _choose_conversion()
    # Not `len`, which sparse and ragged rows have not.
    count = int(next(iter(raw.values())).shape[0])
    for start in range(0, count, rows):
        yield convert({name: take_rows(values, slice(start, start + rows)) for name, values in raw.items()})


def _choose_conversion() -> Callable[[dict[str, Any]], dict[str, Any]]:
    if keras.backend.backend() != "tensorflow":
        return dict
    from pipelines.data.examples.model_tensors import make_tensors  # needs TensorFlow

    return make_tensors


def _convert_to_numpy(output: Any) -> Array:
    array = np.asarray(output)
    # bfloat16, which NumPy cannot store or compare.
    return array.astype(np.float32) if array.dtype.kind == "V" else array
