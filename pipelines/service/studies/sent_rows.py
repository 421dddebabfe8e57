"""Rows to predict that a client sends: in a file of their own while they are predicted, and nowhere afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from pipelines.data.reading.source_paths import SUFFIXES, find_suffix
from pipelines.service.errors import TooMuchError
from search_spaces.errors import InputError

_LONGEST_NAME = 100
_KINDS = ".csv, .tsv, .txt, .json, .jsonl (also .gz, .bz2, .xz or .zip of these), .xlsx, .parquet or .feather"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class SentRows:
    """File of rows, received in parts.

    Args:
        folder: an empty folder, which the caller removes.
        name: the client's name of the file; its suffix is the kind of table.
        limit: most bytes.
        release: called once nothing more is added.

    Attributes:
        file: the file, under a name that errors may show.

    Raises:
        InputError: if the suffix is no kind of table.
    """

    def __init__(self, folder: Path, name: str, limit: int, release: Callable[[], None]) -> None:
        suffix = find_suffix(name)
        if suffix not in SUFFIXES:
            raise InputError(f'file: expected the name of a table, {_KINDS}, got "{name[:_LONGEST_NAME]}"')
        # No more of a name that a client chose: it becomes a path here.
        stem = _UNSAFE.sub("_", Path(name).name.removesuffix(suffix))[:_LONGEST_NAME]
        self.file = folder / f"{stem.strip('_') or 'rows'}{suffix}"
        self._limit = limit
        self._release = release
        self._size = 0
        self._stream = self.file.open("wb")

    def add(self, chunk: bytes) -> None:
        """Add the next part.

        Raises:
            TooMuchError: if the file has become too large.
        """
        self._size += len(chunk)
        if self._size > self._limit:
            raise TooMuchError(f"the rows are larger than the {self._limit:,} bytes that are allowed (uploads)")
        self._stream.write(chunk)

    def close(self) -> None:
        """Close the file; nothing more is added."""
        self._stream.close()
        self._release()

    def finish(self) -> None:
        """Close the file, which is whole.

        Raises:
            InputError: if it is empty.
        """
        self.close()
        if self._size == 0:
            raise InputError("the body is empty: expected a table, such as the bytes of a CSV file")
