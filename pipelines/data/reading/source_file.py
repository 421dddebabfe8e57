"""One file of a source, with what a reader of it needs: its name in messages, its key, the settings of reading."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipelines.data.raw import GivenPart
from pipelines.data.reading.compressed_files import open_file
from pipelines.data.scratch import Scratch
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem


@dataclass(frozen=True)
class SourceFile:
    """A file of rows.

    Attributes:
        path: the file.
        name: its name as the study's folder has it.
        key: dotted key of the study file that names it.
        spec: the study file's `data`.
        part: the part that its rows are given for; None if they are still to be split.
        columns: names of the columns of the file before it, or of a model's inputs, for a file that has no header.
        is_new: whether its rows are to be predicted; then they may lack the target.
        scratch: makes the array of pictures that are too many for the memory; None for others.
    """

    path: Path
    name: str
    key: str
    spec: DataSpec
    part: GivenPart | None = None
    columns: tuple[str, ...] = ()
    is_new: bool = False
    scratch: Scratch | None = None

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Yield the file's bytes, unpacked where it is compressed.

        Raises:
            InputError: if it cannot be unpacked.
        """
        with open_file(self.path, self.name, self.key) as opened:
            yield opened

    @contextmanager
    def open_text(self, encoding: str) -> Iterator[io.TextIOWrapper]:
        """Yield the file's text, its line ends as they are.

        Raises:
            InputError: if it cannot be unpacked.
        """
        with self.open() as opened, io.TextIOWrapper(opened, encoding=encoding, newline="") as text:
            yield text

    def refuse(self, message: str, key: str | None = None) -> InputError:
        """Return the error for this file, at its own key unless another is given."""
        return InputError(Problem(message, key or self.key))
