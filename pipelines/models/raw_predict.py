"""Predictions of a deployed model, whose inputs are raw columns by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.data.array_types import Array

BATCH_ROWS = 1024  # rows; bounds the memory of the layers' outputs


def predict_raw(model: keras.Model, raw: Mapping[str, Array]) -> Array:
    """Return the model's predictions [row, output] for raw columns, in batches."""
    # Called directly: `predict` would trace a graph first, which pays for many rows only.
    return np.concatenate([np.asarray(model(batch, training=False)) for batch in iterate_batches(raw)])


def iterate_batches(raw: Mapping[str, Array], rows: int = BATCH_ROWS) -> Iterator[dict[str, Any]]:
    """Yield raw columns as tensors; Keras refuses NumPy arrays of strings."""
    count = len(next(iter(raw.values())))
    for start in range(0, count, rows):
        yield {name: tf.convert_to_tensor(values[start : start + rows]) for name, values in raw.items()}
