"""Copies of read-only folders on this machine, which a job reads instead of the originals on shared storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_copies: dict[Path, Path] = {}


@contextmanager
def use_copy(folder: Path | None, copy: Path | None) -> Iterator[None]:
    """Have `locate` return `copy` for `folder` inside this block; do nothing where either is None."""
    if folder is None or copy is None:
        yield
        return
    _copies[folder] = copy
    try:
        yield
    finally:
        del _copies[folder]


def locate(folder: Path) -> Path:
    """Return the copy of a folder on this machine, or the folder itself where there is none."""
    return _copies.get(folder, folder)
