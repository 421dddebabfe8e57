"""Room on the disk that a study keeps back, so that it can still write down why it pauses when the disk is full."""

from __future__ import annotations

import os
from pathlib import Path

_BYTES = 2 * 2**20
_FILE = "reserve"


class DiskReserve:
    """A file that only takes up room.

    Args:
        folder: the study's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE

    def fill(self) -> None:
        """Take the room.

        Raises:
            OSError: if there is none.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("wb") as file:
            file.write(bytes(_BYTES))
            os.fsync(file.fileno())

    def release(self) -> None:
        """Give the room back."""
        self._file.unlink(missing_ok=True)
