"""Batches of training rows: the same for every trainer, decided by the trial's seed and the epoch alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import keras
import numpy as np
import numpy.typing as npt

from pipelines.data.array_types import Array
from pipelines.data.examples.examples import Examples
from pipelines.data.examples.structures import Structure, flatten, map_leaves
from pipelines.data.prepared import Shuffle

ClassWeight: TypeAlias = Mapping[int, float] | Mapping[str, Mapping[int, float]]
"""Weight of each class by its label; of several heads by output, for those whose classes differ in weight."""


@dataclass(frozen=True)
class Streaming:
    """How batches are read from disk.

    Attributes:
        shuffle: how rows are mixed.
        folder: folder for the order of an epoch.
    """

    shuffle: Shuffle
    folder: Path


@dataclass(frozen=True)
class Rows:
    """Rows of a training.

    Attributes:
        streaming: how each batch is read from disk; None where the rows may be in memory.
    """

    train: Examples
    validation: Examples
    class_weight: ClassWeight | None
    streaming: Streaming | None = None

    def take(self, most: int) -> Rows:
        """Return the first rows of both parts."""
        train, validation = (part.take(slice(most)) for part in (self.train, self.validation))
        return Rows(train, validation, self.class_weight, self.streaming)


def shuffle_rows(seed: int, epoch: int, rows: int) -> npt.NDArray[np.int32]:
    """Return the order [row] in which an epoch, counted from 0, goes over the rows."""
    # A new generator for each epoch: a resumed training draws the same order without drawing those before it.
    return np.random.default_rng([seed, epoch]).permutation(rows).astype(np.int32)


def compute_row_weights(rows: Rows) -> Any:
    """Return each training row's weight: its own times its class's; None where all rows weigh alike.

    In the structure of the rows' own weights, else float32 [row] in that of the targets. Of several heads a dict by
    output.
    """
    return weigh_rows(rows.train.y, rows.train.sample_weight, rows.class_weight)


def weigh_rows(targets: Structure, given: Structure, class_weight: ClassWeight | None) -> Structure:
    """Return the weight of each of some rows, as `compute_row_weights` does of all.

    Args:
        targets: their targets.
        given: their own weights; None where all weigh alike.
        class_weight: weight of each class; None where all weigh alike.
    """
    if class_weight is None:
        return given
    if isinstance(targets, dict) and all(isinstance(weights, Mapping) for weights in class_weight.values()):
        of_heads = cast("Mapping[str, Mapping[int, float]]", class_weight)
        # Keras takes weights for all outputs or for none; a label without a weight has 1.
        return {output: weigh_rows(y, given, of_heads.get(output, {})) for output, y in targets.items()}
    by_label = cast("Mapping[int, float]", class_weight)
    # Only a single target has classes to weigh.
    [target] = flatten(targets)
    weights = _weigh_labels(np.asarray(target), by_label)
    if given is None:
        return map_leaves(lambda _: weights, targets)
    # A row's weights may have further axes, such as one of time.
    return map_leaves(lambda own: (weights * np.asarray(own, np.float32).T).T, given)


def _weigh_labels(y: Array, by_label: Mapping[int, float]) -> Array:
    """Return the weight of each target's class, float32 [row]; all 1 where no class has a weight."""
    if not by_label:
        return np.ones(len(y), np.float32)
    # One-hot rows name their class by its place.
    labels = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1)
    distinct, index = np.unique(labels, return_inverse=True)
    weights: npt.NDArray[np.float32] = np.array([by_label.get(int(label), 1.0) for label in distinct], np.float32)
    return weights[index]


class TrainingBatches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """The training rows, batch by batch, for `Model.fit`."""

    def __init__(self, part: Examples, weights: Structure, batch_size: int, seed: int) -> None:
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
        # Of several heads a dict by output.
        y = map_leaves(lambda leaf: leaf[chosen], self._part.y)
        if self._weights is None:
            return x, y
        return x, y, map_leaves(lambda leaf: leaf[chosen], self._weights)

    def start_epoch(self, epoch: int) -> None:
        """Set the order of an epoch; Keras calls `on_epoch_end` once before the first epoch, too."""
        self._order = shuffle_rows(self._seed, epoch, self._part.rows)
