"""Reserve of disk space, so that a study can still record why it pauses when the disk is full."""

from __future__ import annotations

import os
from pathlib import Path

# Chosen: the records and the page of a pause take less.
_BYTES = 2 * 2**20
_FILE = "reserve"


class DiskReserve:
    """A file that only takes up space.

    Args:
        folder: the study's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE

    def fill(self) -> None:
        """Take the space.

        Raises:
            OSError: if there is none.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("wb") as file:
            # Written, because a file that is only extended takes no space, and synced, because some systems allocate
            # late.
            file.write(bytes(_BYTES))
            os.fsync(file.fileno())

    def release(self) -> None:
        """Give the space back."""
        self._file.unlink(missing_ok=True)
