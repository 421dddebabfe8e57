"""Uploaded data files: named by their content, written as a whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from pathlib import Path

from pipelines.data.reading.source_paths import SUFFIXES, find_suffix
from pipelines.queries.views import UploadedFile
from pipelines.service.errors import TooMuchError
from pipelines.service.path_policy import UPLOADS
from search_spaces.errors import InputError

_one_at_a_time = threading.Lock()


class Upload:
    """Upload of one file, received in parts.

    Args:
        folder: the folder of all uploaded files.
        name: the file's name; its suffix is the kind of data.
        max_bytes: most bytes of the file.
        max_total_bytes: most bytes of all files in the folder together.

    Raises:
        InputError: if the suffix is no kind of data.
    """

    def __init__(self, folder: Path, name: str, max_bytes: int, max_total_bytes: int) -> None:
        # All that is kept of a name that a client chose.
        self._suffix = find_suffix(name)
        if self._suffix not in SUFFIXES:
            raise InputError(f'expected a name that ends in {", ".join(sorted(SUFFIXES))}, got "{name}"')
        folder.mkdir(parents=True, exist_ok=True)
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self._folder = folder
        # Hidden: a part of a file is not counted below.
        self._aside = folder / f".{secrets.token_hex(8)}"
        self._file = self._aside.open("wb")
        self._digest = hashlib.sha256()
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Add the next part.

        Raises:
            TooMuchError: if the file has become too large.
        """
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise TooMuchError(f"the file is larger than the {self._max_bytes:,} bytes that are allowed")
        self._digest.update(chunk)
        self._file.write(chunk)

    def keep(self) -> UploadedFile:
        """Keep the file durably; the same content again is the same file.

        Raises:
            InputError: if it is empty.
            TooMuchError: if all files together would be too large.
        """
        if self._size == 0:
            raise InputError("the file is empty")
        self._file.flush()
        # Before the rename: after a power cut, a name must not stand for half a file.
        os.fsync(self._file.fileno())
        # By its digest, so nobody can replace another's file, and the same file twice takes no room.
        target = self._folder / f"{self._digest.hexdigest()[:32]}{self._suffix}"
        # Two uploads that each fit could be too large together.
        with _one_at_a_time:
            taken = sum(each.stat().st_size for each in self._folder.iterdir() if each.name[:1] != ".")
            if not target.exists() and taken + self._size > self._max_total_bytes:
                raise TooMuchError(
                    "all uploads together would be too large: the operator of this service can make room"
                )
            self._aside.replace(target)
        return UploadedFile(f"{UPLOADS}/{target.name}", self._size, self._digest.hexdigest())

    def close(self) -> None:
        """Remove the file, unless it was kept."""
        self._file.close()
        self._aside.unlink(missing_ok=True)
