"""Files and folders of the data sources, checked before any heavy library is loaded."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem, suggest_choice

FORMS = "a .csv, .tsv, .parquet or .npz file, an image folder, sklearn:<name>, keras:<name> or loader.py:function"
SUFFIXES = frozenset({".csv", ".tsv", ".parquet", ".pq", ".npz"})
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
# No slash behind the colon, which would make it a path.
_LOADER = re.compile(r"\.py:[^/\\]*$")


def check_source_paths(spec: DataSpec, base: Path) -> None:
    """Check that the files that a study names exist.

    Raises:
        InputError: with all that are missing.
    """
    problems: list[Problem] = []
    named = {"source": spec.source, "validation_source": spec.validation_source, "test_source": spec.test_source}
    for key, written in named.items():
        try:
            if written is not None:
                find_source(written, base, f"data.{key}")
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


def find_source(written: str, base: Path, key: str) -> Path | None:
    """Return the file or folder that a source names; None for a named set or a loader.

    Raises:
        InputError: if it is an address, is not there, or is nothing that can be read.
    """
    if _URL.match(written):
        raise InputError(Problem(f"{written} is an address; download it and name the file, or write a loader", key))
    path = resolve_source_path(written, base)
    if path is None:
        return None
    if not path.exists():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        # A folder of data may hold millions of files; the hint needs a few.
        beside = [name for name in beside if not name.startswith(".")][:50]
        raise InputError(Problem(f"there is no file or folder {written}; {suggest_choice(path.name, beside)}", key))
    if not os.access(path, os.R_OK):
        raise InputError(Problem(f"{written} may not be read; check its permissions", key))
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        raise InputError(Problem(f'expected {FORMS}, got a file ending in "{path.suffix}"', key))
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(Problem(f"{written} is empty", key))
    return path


def resolve_source_path(source: str, base: Path) -> Path | None:
    """Return the file or folder that a source names; None for a named set or a loader."""
    if _URL.match(source) or source.startswith(("sklearn:", "keras:")) or is_loader(source):
        return None
    return base / source


def list_source_files(spec: DataSpec, base: Path) -> list[Path]:
    """Return every file and folder that a study's data is read from, with the files of loaders."""
    named = [source for source in (spec.source, spec.validation_source, spec.test_source) if source is not None]
    paths = [
        base / source.rpartition(":")[0] if is_loader(source) else resolve_source_path(source, base) for source in named
    ]
    return [each for path in paths if path is not None and path.exists() for each in (path, *path.rglob("*"))]


def is_loader(source: str) -> bool:
    """Return whether a source has the form `file.py:function`."""
    return _LOADER.search(source) is not None
