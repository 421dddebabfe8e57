"""Search spaces for the verbs `spaces` and `import-space`: shipped ones, those of files, other tools' formats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipelines.study.load import load_study
from search_spaces.errors import InputError, suggest_choice
from search_spaces.foreign.base import ExportResult
from search_spaces.foreign.formats import detect_format, find_format
from search_spaces.parse import parse_space
from search_spaces.shipped_spaces import list_shipped, read_shipped, read_shipped_text
from search_spaces.space import Space
from search_spaces.yaml_reader import read_document
from search_spaces.yaml_writer import to_yaml

_FILES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class ShippedSpace:
    """A space that comes with kerastudy.

    Attributes:
        name: its name.
        parameters: number of its hyperparameters.
        about: the first sentence of its opening comment.
    """

    name: str
    parameters: int
    about: str


def list_shipped_spaces() -> list[ShippedSpace]:
    """Return the shipped spaces, in the order of their names."""
    return [ShippedSpace(name, len(find_space(name).parameters), _describe(name)) for name in list_shipped()]


def find_space(name: str) -> Space:
    """Return a shipped space by its name, or the space of a file: a study, or a space alone.

    Raises:
        InputError: if there is none, or it has problems.
    """
    # Shipped names win, so a file in the current folder does not change what a name means.
    if name in list_shipped():
        return parse_space(read_shipped(name), ())
    file = Path(name)
    if not file.exists() and file.suffix not in _FILES:
        hint = suggest_choice(name, list_shipped())
        raise InputError(f'no shipped space is called "{name}", and there is no such file; {hint}')
    document = read_document(file)
    if "study" in document.data:
        return load_study(file).space
    return parse_space(document, ("space",) if isinstance(document.data.get("space"), dict) else ())


def format_space(name: str) -> str:
    """Return a shipped space as written, with its comments; the space of a file in full, with what it extends.

    Raises:
        InputError: if there is none, or it has problems.
    """
    return read_shipped_text(name) if name in list_shipped() else to_yaml(find_space(name).to_dict())


def export_space(name: str, format_name: str) -> ExportResult:
    """Return a space in another tool's format.

    Raises:
        InputError: if there is no such space or format, or the space has problems.
    """
    return find_format(format_name).write(find_space(name))


def import_space_file(file: Path, format_name: str | None) -> ExportResult:
    """Return the space in another tool's file as kerastudy YAML.

    Args:
        file: the file.
        format_name: its format; None to recognise it by the content.

    Raises:
        InputError: if it cannot be read.
    """
    # Before the file is read: an unknown format is the first thing to mend.
    known = None if format_name is None else find_format(format_name)
    document = read_document(file)
    known = known or detect_format(document)
    imported = known.read(document)
    text = f"# From {file.name} ({known.TITLE}).\n{to_yaml(imported.space.to_dict())}"
    return ExportResult(text, tuple(str(note) for note in imported.notes))


def _describe(name: str) -> str:
    """Return the first sentence of a shipped space's opening comment."""
    opening = re.match(r"(?:# .*\n)+", read_shipped_text(name))
    words = " ".join(line.removeprefix("# ") for line in opening[0].splitlines()) if opening else ""
    return re.split(r"(?<=\.)\s", words, maxsplit=1)[0]
