"""Folders with all that is in them: measured, and removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def measure_tree(path: Path) -> int:
    """Return the size in bytes of a file, or of all files in a folder; 0 where there is none. Links count nothing."""
    if not path.is_dir() or path.is_symlink():
        try:
            return 0 if path.is_symlink() else path.stat().st_size
        except OSError:
            return 0
    total, waiting = 0, [str(path)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:  # removed meanwhile, or not readable
            continue
    return total


def remove_tree(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it; nothing where there is none.

    Raises:
        OSError: if a part of it cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        # A worker's last log may appear meanwhile: a second pass takes it.
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
