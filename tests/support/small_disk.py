"""Disks of a few megabytes: tmpfs mounts, which only root can create."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def explain_unavailable(folder: Path) -> str:
    """Return why no disk can be mounted here; empty where one can."""
    if os.geteuid() != 0:
        return "only root can mount a small disk"
    try:
        with mount_small_disk(folder / "tried", 2**20):
            return ""
    except subprocess.CalledProcessError as error:
        return f"a small disk cannot be mounted: {error.stderr.strip()}"


@contextmanager
def mount_small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Create `folder`, mount an empty disk of that size there, and yield it."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True, text=True)
    try:
        yield folder
    finally:
        # Lazily: open files of a process of the test must not prevent it.
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
