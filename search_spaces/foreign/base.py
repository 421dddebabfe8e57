"""Interface of the modules that read and write other tools' formats.

A setting without an exact equivalent is replaced by the nearest one, with a note. Only what cannot be read is an
error, with its place in the file.
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
        notes: settings without an exact equivalent, their places, and the replacements.
    """

    space: Space
    notes: tuple[Problem, ...]


@dataclass(frozen=True)
class ExportResult:
    """A space as another tool's file.

    Attributes:
        notes: settings that the format cannot express, and the replacements.
    """

    text: str
    notes: tuple[str, ...]


class Format(Protocol):
    """A format: what its module defines.

    Attributes:
        NAME: its name for `--format` and `--export`.
        TITLE: its name in messages.
        LOOKS_LIKE: the marks of a file of this format, in words.
    """

    NAME: str
    TITLE: str
    LOOKS_LIKE: str

    def recognises(self, document: Document) -> bool:
        """Return whether a document looks like this format."""
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
