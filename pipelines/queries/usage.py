"""Sizes of a home's files: of each study, and of the home as a whole."""

from __future__ import annotations

import os
from pathlib import Path


def measure_folder(folder: Path) -> int:
    """Return the size of a folder's files in bytes, as their contents; 0 where there is none. Links count nothing."""
    total, waiting = 0, [str(folder)]
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
