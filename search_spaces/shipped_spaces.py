"""Shipped spaces, one YAML file each; the opening comment of a file gives the sources of its ranges."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from search_spaces.errors import InputError, suggest_choice
from search_spaces.yaml_document import Document
from search_spaces.yaml_reader import parse_document

_FOLDER = Path(__file__).parent / "shipped"


@cache
def list_shipped() -> tuple[str, ...]:
    """Return the names of the shipped spaces."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.yaml")))


@cache
def read_shipped(name: str) -> Document:
    """Return the document of a shipped space.

    Raises:
        InputError: if there is none of that name.
    """
    if name not in list_shipped():
        raise InputError(f'no shipped space is called "{name}": {suggest_choice(name, list_shipped())}')
    return parse_document(read_shipped_text(name), f"{name}.yaml (shipped)")


def read_shipped_text(name: str) -> str:
    """Return the text of a shipped space, with its comments."""
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
