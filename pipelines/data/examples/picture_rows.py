"""Pictures that are stored as bytes, a quarter of the size of the numbers that a model takes.

A number is the byte less the center of its channel, times a factor, in float32: the preprocessing's own arithmetic, so
that widened rows are equal to its outputs to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, overload

import numpy as np

from pipelines.data.array_types import Array, FloatArray

BYTES_SUFFIX: Final = "-bytes"
"""End of the name of an array of such pictures. A hyphen, which no input's name has."""


@dataclass(frozen=True, eq=False)
class PictureRows:
    """Rows of pictures: numbers of rows choose widened ones, a slice is of bytes still.

    Attributes:
        stored: uint8 [row, height, width, channel].
        center: float32 [channel].
        factor: float32 [channel].
        is_flat: whether a row is one row of numbers.
    """

    stored: Array
    center: FloatArray
    factor: FloatArray
    is_flat: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all rows, as numbers."""
        rows, *axes = self.stored.shape
        return (rows, int(np.prod(axes))) if self.is_flat else (rows, *axes)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return np.dtype(np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, as numbers."""
        return 4 * int(self.stored.size)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.stored)

    @overload
    def __getitem__(self, rows: slice) -> PictureRows: ...

    @overload
    def __getitem__(self, rows: Array) -> FloatArray: ...

    def __getitem__(self, rows: slice | Array) -> PictureRows | FloatArray:
        """Return a slice, or the widened rows of some numbers."""
        chosen = replace(self, stored=self.stored[rows])
        return chosen if isinstance(rows, slice) else np.asarray(chosen)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return all rows as numbers."""
        if copy is False:
            raise ValueError("stored bytes become numbers by a copy only")
        # By whole rows: NumPy takes three times as long for a few channels at a time.
        pixels = self.stored.reshape(len(self.stored), int(np.prod(self.stored.shape[1:])))
        places = pixels.shape[1] // len(self.center)
        widened: Array = np.subtract(pixels, np.tile(self.center, places), dtype=np.float32)
        widened *= np.tile(self.factor, places)
        return widened.reshape(self.shape).astype(dtype or np.float32, copy=False)


def widen(leaf: Any) -> Any:
    """Return a leaf with stored pictures as numbers; other leaves as they are."""
    return np.asarray(leaf) if isinstance(leaf, PictureRows) else leaf
