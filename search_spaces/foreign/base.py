"""The seam between other tools' formats and ours: what a format's module offers.

What has no exact equivalent is replaced by the nearest thing that there is, and a note says so. Only what cannot be
read is an error, with its place in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from search_spaces.errors import Problem
from search_spaces.space import Space
from search_spaces.yaml_document import Document


@dataclass(frozen=True)
class ImportResult:
    """A space read from another tool's file.

    Attributes:
        notes: what has no exact equivalent here, where it stands, and what was done instead.
    """

    space: Space
    notes: tuple[Problem, ...]


@dataclass(frozen=True)
class ExportResult:
    """A space as another tool's file.

    Attributes:
        notes: what the format cannot say, and what was done instead.
    """

    text: str
    notes: tuple[str, ...]


class Format(Protocol):
    """What each format's module offers.

    Attributes:
        NAME: what `--format` and `--export` call it.
        TITLE: what messages call it.
        LOOKS_LIKE: how a file of this format is told from others, in words.
    """

    NAME: str
    TITLE: str
    LOOKS_LIKE: str

    def recognises(self, document: Document) -> bool:
        """Say whether a document looks like this format."""
        ...

    def read(self, document: Document) -> ImportResult:
        """Return the space in a document.

        Raises:
            InputError: with every problem found.
        """
        ...

    def write(self, space: Space) -> ExportResult:
        """Return a space in this format."""
        ...
