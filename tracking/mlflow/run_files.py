"""Files of a run as MLflow takes them: regular files that can be read, under names that mean the same in a URL."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tracking.mlflow.names import encode_file_names


@dataclass(frozen=True)
class RunFiles:
    """Files to upload.

    Attributes:
        folder: the folder that holds them and nothing else.
        names: their paths in it, which are those in MLflow.
        unreadable: files that are left out because they cannot be read.
    """

    folder: Path
    names: tuple[Path, ...]
    unreadable: tuple[Path, ...]


@contextmanager
def stage_files(folder: Path) -> Iterator[RunFiles]:
    """Yield the files of a folder: the folder itself if MLflow takes all of it, else a temporary one with links."""
    found = list(_list_entries(folder))
    files = {name: entry for name, entry in found if entry.is_file() and os.access(entry, os.R_OK)}
    unreadable = tuple(entry.relative_to(folder) for name, entry in found if entry.is_file() and name not in files)
    if len(files) == len(found) and all(folder / name == entry for name, entry in found):
        yield RunFiles(folder, tuple(files), unreadable)
        return
    with tempfile.TemporaryDirectory(prefix="kerastudy-files-") as scratch:
        for name, entry in files.items():
            (Path(scratch) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(scratch) / name).symlink_to(entry.resolve())
        yield RunFiles(Path(scratch), tuple(files), unreadable)


def _list_entries(folder: Path, at: Path = Path()) -> Iterator[tuple[Path, Path]]:
    """Yield what is in a folder and in those below it, but not the folders, with their paths in MLflow."""
    entries = sorted(folder.iterdir())
    names = encode_file_names(entry.name for entry in entries)
    for entry in entries:
        name = at / names[entry.name]
        # A link to a folder is no folder here: links may form a circle.
        if entry.is_dir() and not entry.is_symlink():
            yield from _list_entries(entry, name)
        else:
            yield name, entry
