"""Batches of training rows: the same for every trainer, decided by the trial's seed and the epoch alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from pipelines.data.array_types import Array
from pipelines.data.prepared import Part


@dataclass(frozen=True)
class Rows:
    """Rows of a training."""

    train: Part
    validation: Part
    class_weight: Mapping[int, float] | None


def shuffle_rows(seed: int, epoch: int, rows: int) -> npt.NDArray[np.int32]:
    """Return the order [row] in which an epoch, counted from 0, goes over the rows."""
    # A new generator for each epoch: a resumed training draws the same order without drawing those before it.
    return np.random.default_rng([seed, epoch]).permutation(rows).astype(np.int32)


def compute_row_weights(rows: Rows) -> npt.NDArray[np.float32] | None:
    """Return each training row's weight [row] by its class; None where all rows weigh alike."""
    if rows.class_weight is None:
        return None
    table: npt.NDArray[np.float32] = np.ones(max(rows.class_weight) + 1, np.float32)
    for index, weight in rows.class_weight.items():
        table[index] = weight
    weights: npt.NDArray[np.float32] = table[np.asarray(rows.train.y).reshape(-1)]
    return weights


class TrainingBatches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """The training rows, batch by batch, for `Model.fit`."""

    def __init__(self, part: Part, weights: Array | None, batch_size: int, seed: int) -> None:
        super().__init__()
        self._part = part
        self._weights = weights
        self._batch_size = batch_size
        self._seed = seed
        self._order = shuffle_rows(seed, 0, part.rows)

    def __len__(self) -> int:
        """Return the number of batches; the last one may be partial."""
        return math.ceil(self._part.rows / self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return one batch."""
        # The arrays are files mapped into memory: only the rows of this batch are read.
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        x = {name: values[chosen] for name, values in self._part.x.items()}
        if self._weights is None:
            return x, self._part.y[chosen]
        return x, self._part.y[chosen], self._weights[chosen]

    def start_epoch(self, epoch: int) -> None:
        """Set the order of an epoch; Keras calls `on_epoch_end` once before the first epoch, too."""
        self._order = shuffle_rows(self._seed, epoch, self._part.rows)
