"""Data files that were sent to a service: named by their content, whole or not there at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from pathlib import Path

from pipelines.data.source_paths import SUFFIXES
from pipelines.queries.views import UploadedFile
from pipelines.service.errors import TooMuchError
from pipelines.service.path_policy import UPLOADS
from search_spaces.errors import InputError

_one_at_a_time = threading.Lock()


class Upload:
    """A file that is being sent.

    Args:
        folder: where uploaded files are.
        name: the file's own name, whose ending says what it is.
        most: bytes that it may have.
        most_of_all: bytes that all files in the folder may have together.

    Raises:
        InputError: if the name does not end like data.
    """

    def __init__(self, folder: Path, name: str, most: int, most_of_all: int) -> None:
        self._suffix = Path(name).suffix.lower()
        if self._suffix not in SUFFIXES:
            raise InputError(f'expected a name that ends in {", ".join(sorted(SUFFIXES))}, got "{name}"')
        folder.mkdir(parents=True, exist_ok=True)
        self._most = most
        self._most_of_all = most_of_all
        self._folder = folder
        self._aside = folder / f".{secrets.token_hex(8)}"
        self._file = self._aside.open("wb")
        self._digest = hashlib.sha256()
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Take the next part.

        Raises:
            TooMuchError: if the file has become too large.
        """
        self._size += len(chunk)
        if self._size > self._most:
            raise TooMuchError(f"the file is larger than the {self._most:,} bytes that are allowed")
        self._digest.update(chunk)
        self._file.write(chunk)

    def keep(self) -> UploadedFile:
        """Keep the file, durably; the same content again is the same file.

        Raises:
            InputError: if it is empty.
            TooMuchError: if there is no room for it beside the others.
        """
        if self._size == 0:
            raise InputError("the file is empty")
        self._file.flush()
        os.fsync(self._file.fileno())
        target = self._folder / f"{self._digest.hexdigest()[:32]}{self._suffix}"
        with _one_at_a_time:
            taken = sum(each.stat().st_size for each in self._folder.iterdir() if each.name[:1] != ".")
            if not target.exists() and taken + self._size > self._most_of_all:
                raise TooMuchError("there is no room for further uploads: ask the operator of this service")
            self._aside.replace(target)
        return UploadedFile(f"{UPLOADS}/{target.name}", self._size, self._digest.hexdigest())

    def close(self) -> None:
        """Leave nothing of a file that was not kept."""
        self._file.close()
        self._aside.unlink(missing_ok=True)
