"""Arrays in files: as large as the disk allows, and no part of what a process holds in memory.

The pages of a mapped file belong to the system, which writes and drops them as it needs. A file is allocated in full
before it is mapped: a full disk is then an error, where a write into a mapping would kill the process.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.array_types import Array

CHUNK_ROWS = 65_536
"""Rows of an array in a file that are in memory at a time; of wide ones fewer."""
_CHUNK_BYTES = 32 * 2**20


class Scratch:
    """Arrays in a folder that are gone with the process, or once nothing refers to them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, shape: int | tuple[int, ...], dtype: Any) -> Array:
        """Return an array of zeros in a file without a name."""
        shape = (shape,) if isinstance(shape, int) else shape
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if size == 0:
            return np.zeros(shape, dtype)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            allocate(file.fileno(), 0, size)
            # A plain array over the mapping: NumPy's sorting and shuffling are slower for subclasses.
            return np.asarray(np.memmap(file, dtype=dtype, mode="r+", shape=shape))

    def make_permutation(self, random: np.random.Generator, count: int) -> Array:
        """Return what `random.permutation(count)` returns, in a file."""
        order = self.make(count, np.int64)
        for start, stop in iterate_chunks(count):
            order[start:stop] = np.arange(start, stop)
        random.shuffle(order)
        return order


def iterate_chunks(rows: int, row_bytes: int = 8) -> Iterator[tuple[int, int]]:
    """Yield the bounds of so many rows at a time as may be in memory.

    >>> list(iterate_chunks(100_000))
    [(0, 65536), (65536, 100000)]
    """
    step = max(1, min(CHUNK_ROWS, _CHUNK_BYTES // max(1, row_bytes)))
    for start in range(0, rows, step):
        yield start, min(rows, start + step)


def create_array(path: Path, shape: tuple[int, ...], dtype: Any) -> np.memmap[Any, Any]:
    """Return the array of a new `.npy` file, mapped into memory.

    Raises:
        OSError: if the disk has no room for it.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    with path.open("r+b") as file:
        allocate(file.fileno(), 0, path.stat().st_size)
    return array


def allocate(descriptor: int, start: int, size: int) -> None:
    """Give a file so many bytes of the disk.

    Raises:
        OSError: if the disk has no room for them.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, start, size)
    else:  # macOS
        os.ftruncate(descriptor, start + size)
