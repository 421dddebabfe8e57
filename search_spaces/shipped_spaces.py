"""The spaces that come with kerastudy, one YAML file each; a file's opening comment says where its ranges come from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from search_spaces.errors import InputError, nearest
from search_spaces.yaml_document import Document, parse_document

_FOLDER = Path(__file__).parent / "shipped"


@cache
def shipped_names() -> tuple[str, ...]:
    """Return the names of the shipped spaces."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.yaml")))


@cache
def read_shipped(name: str) -> Document:
    """Return a shipped space as written.

    Raises:
        InputError: if there is none of that name.
    """
    if name not in shipped_names():
        raise InputError(f'no shipped space is called "{name}": {nearest(name, shipped_names())}')
    return parse_document(shipped_text(name), f"{name}.yaml (shipped)")


def shipped_text(name: str) -> str:
    """Return a shipped space's file, its comments included."""
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
