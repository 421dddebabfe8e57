"""Batches of rows that stay on disk: a batch is read when it is due, and nothing as long as the data is in memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.examples.examples import Examples
from pipelines.data.examples.picture_rows import PictureRows, widen
from pipelines.data.examples.structures import map_leaves
from pipelines.data.prepared import Shuffle
from pipelines.data.scratch import Scratch, iterate_chunks
from pipelines.training.batches import ClassWeight, weigh_rows

BLOCK_BYTES = 2**20
"""Bytes of a block: rows that lie together on the disk and are read together."""
WINDOW_BLOCKS = 64
"""Blocks whose rows are mixed with each other."""
_WAITING_BYTES, _MOST_WAITING = 2**26, 10


def shuffle_stored_rows(seed: int, epoch: int, rows: int, shuffle: Shuffle, row_bytes: int, scratch: Scratch) -> Array:
    """Return the order [row] of an epoch, in a file.

    Args:
        seed: of the trial.
        epoch: counted from 0.
        rows: number of rows.
        shuffle: "rows" gives the order of `batches.shuffle_rows`. "blocks" mixes the blocks, and then the rows of so
            many blocks that follow each other: each is read once an epoch.
        row_bytes: bytes of a row.
        scratch: makes arrays.
    """
    random = np.random.default_rng([seed, epoch])
    if shuffle == "rows":
        return scratch.make_permutation(random, rows)
    size = max(1, BLOCK_BYTES // row_bytes)
    blocks, order, found = random.permutation(math.ceil(rows / size)), scratch.make(rows, np.int64), 0
    for start in range(0, len(blocks), WINDOW_BLOCKS):
        window = np.concatenate(
            [np.arange(block * size, min(rows, (block + 1) * size)) for block in blocks[start : start + WINDOW_BLOCKS]]
        )
        order[found : found + len(window)] = random.permutation(window)
        found += len(window)
    return order


class StreamedBatches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """Training rows, batch by batch from disk, for `Model.fit`; Keras reads the next ones meanwhile."""

    def __init__(
        self,
        part: Examples,
        class_weight: ClassWeight | None,
        batch_size: int,
        seed: int,
        shuffle: Shuffle,
        folder: Path,
    ) -> None:
        row_bytes = _measure_row(part)
        super().__init__(max_queue_size=count_waiting(batch_size * row_bytes))
        self._part = part
        self._class_weight = class_weight
        self._batch_size = batch_size
        self._seed = seed
        self._shuffle: Shuffle = shuffle
        self._scratch = Scratch(folder)
        self._row_bytes = row_bytes
        self._epoch = -1
        self.start_epoch(0)

    def __len__(self) -> int:
        """Return the number of batches; the last one may be partial."""
        return math.ceil(self._part.rows / self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return one batch."""
        # A copy: the order is in a file.
        chosen = np.array(self._order[index * self._batch_size : (index + 1) * self._batch_size])
        return read_batch(self._part, chosen, self._class_weight)

    def start_epoch(self, epoch: int) -> None:
        """Set the order of an epoch."""
        if epoch == self._epoch:
            return
        self._epoch = epoch
        self._order = shuffle_stored_rows(
            self._seed, epoch, self._part.rows, self._shuffle, self._row_bytes, self._scratch
        )


class OrderedBatches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """Rows in their order, batch by batch from disk."""

    def __init__(self, part: Examples, batch_size: int) -> None:
        row_bytes = _measure_row(part)
        super().__init__(max_queue_size=count_waiting(batch_size * row_bytes))
        self._part = part
        self._bounds = list(iterate_chunks(part.rows, max(row_bytes, 2**25 // batch_size)))

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._bounds)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return one batch."""
        return read_batch(self._part, slice(*self._bounds[index]), None)


def count_waiting(batch_bytes: int) -> int:
    """Return how many batches Keras may read ahead: 64 MiB of large ones.

    >>> count_waiting(100_000), count_waiting(25_000_000), count_waiting(100_000_000)
    (10, 2, 1)
    """
    return max(1, min(_MOST_WAITING, _WAITING_BYTES // max(1, batch_bytes)))


def _measure_row(part: Examples) -> int:
    row_bytes: int = sum(array[:1].nbytes for array in part.x.values())
    return max(1, row_bytes)


def read_batch(part: Examples, rows: Array | slice, class_weight: ClassWeight | None) -> tuple[Any, ...]:
    """Return some rows as `Model.fit` takes a batch."""
    # A slice of an array in a file is not read yet; pictures are by being widened.
    x = {
        name: widen(values[rows]) if isinstance(values, PictureRows) else np.array(values[rows])
        for name, values in part.x.items()
    }
    y = map_leaves(lambda leaf: np.array(leaf[rows]), part.y)
    own = None if part.sample_weight is None else np.array(part.sample_weight[rows])
    weights = weigh_rows(y, own, class_weight)
    return (x, y) if weights is None else (x, y, weights)
