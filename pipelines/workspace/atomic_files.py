"""Writing files so that a kill or a full disk leaves either the old file or the whole new one."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(file: Path, text: str) -> None:
    """Write a text file aside, sync it, then rename it into place."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = make_temporary_path(file)
    aside.write_text(text, encoding="utf-8")
    move_into_place(aside, file)


def make_temporary_path(file: Path) -> Path:
    """Return the name under which a file is written before it is renamed; it keeps the suffix."""
    return file.with_name(f"saving-{file.name}")


def move_into_place(aside: Path, file: Path) -> None:
    """Sync a written file to disk and rename it."""
    with aside.open("rb") as written:
        os.fsync(written.fileno())
    aside.replace(file)
