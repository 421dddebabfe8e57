"""Atomic files: a kill or a full disk leaves either the old file or the whole new one."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(file: Path, text: str) -> None:
    """Write a text file under a temporary name, sync it, then rename it into place."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = make_temporary_path(file)
    try:
        temporary.write_text(text, encoding="utf-8")
        move_into_place(temporary, file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def make_temporary_path(file: Path) -> Path:
    """Return the path of a file before it is renamed; it has the same suffix, from which Keras infers the format."""
    return file.with_name(f"saving-{file.name}")


def move_into_place(temporary: Path, file: Path) -> None:
    """Sync a temporary file to disk and rename it."""
    # Without the sync a power cut can leave the new name with no content.
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    # The folder is not synced: a power cut may bring the old file back, which is whole too.
    temporary.replace(file)
