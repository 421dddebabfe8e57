"""The door to data: whatever `data.source` names becomes rows with their places.

Nothing is fetched over the network here, except by `keras:<name>`, which asks Keras.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.arrays import call_loader, read_npz
from pipelines.data.images import read_images
from pipelines.data.named_sets import load_keras, load_sklearn
from pipelines.data.prepared import InputKind
from pipelines.data.raw import GivenPart, RawData, combine
from pipelines.data.tables import read_csv, read_parquet
from pipelines.study_spec import DataSpec
from search_spaces.errors import InputError, Problem, nearest

FORMS = "a .csv, .tsv, .parquet or .npz file, an image folder, sklearn:<name>, keras:<name> or loader.py:function"
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_LOADER = re.compile(r"\.py:[^/\\]*$")


def load(spec: DataSpec, base: Path, prefers: InputKind) -> RawData:
    """Return all rows of a study's data, with those of separate files marked as given.

    Args:
        spec: the study file's `data`.
        base: folder that paths are relative to.
        prefers: what the model family takes, where a source can give either.

    Raises:
        InputError: if a source is missing or cannot be used; `Problem.path` names the key to blame.
    """
    named: list[tuple[GivenPart | None, str | None]] = [
        (None, spec.source),
        ("validation", spec.validation_source),
        ("test", spec.test_source),
    ]
    sources = [_Source(written, part, spec, base) for part, written in named if written is not None]
    parts: list[RawData] = []
    for source in sources:
        given = {origin.part for part in parts for origin in part.origins}
        if source.part is not None and source.part in given:
            message = f"{spec.source} already brings {source.part} rows; remove this key"
            raise InputError(Problem(message, source.key))
        parts.append(_load_source(source, prefers))
    raw = combine(parts)
    _check_division(raw, spec)
    return raw


def source_path(source: str, base: Path) -> Path | None:
    """Return the file or folder that a source names; None for a named set or a loader."""
    if _URL.match(source) or source.startswith(("sklearn:", "keras:")) or _LOADER.search(source):
        return None
    return base / source


@dataclass(frozen=True)
class _Source:
    """One of the up to three sources of a study."""

    written: str
    part: GivenPart | None
    spec: DataSpec
    base: Path

    @property
    def key(self) -> str:
        return f"data.{self.part}_source" if self.part else "data.source"


def _load_source(source: _Source, prefers: InputKind) -> RawData:
    written, key = source.written, source.key
    if _URL.match(written):
        raise InputError(Problem(f"{written} is an address; download it and name the file, or write a loader", key))
    path = source_path(written, source.base)
    if source.spec.image_size is not None and not (path and path.is_dir()):
        message = f"pictures of an image folder are resized, but {written} is none; remove this key"
        raise InputError(Problem(message, "data.image_size"))
    if path is not None:
        return _load_path(path, source)
    if _LOADER.search(written):
        return call_loader(written, source.base, key, source.part)
    if source.part is not None:
        raise InputError(Problem(f"{source.part} rows must be a file or a loader, got {written}", key))
    kind, _, name = written.partition(":")
    return load_sklearn(name, key, prefers) if kind == "sklearn" else load_keras(name, key)


def _load_path(path: Path, source: _Source) -> RawData:
    written, key, part = source.written, source.key, source.part
    if not path.exists():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        beside = [name for name in beside if not name.startswith(".")][:50]
        raise InputError(Problem(f"there is no file or folder {written}; {nearest(path.name, beside)}", key))
    if not os.access(path, os.R_OK):
        raise InputError(Problem(f"{written} may not be read; check its permissions", key))
    if path.is_dir():
        return read_images(path, written, source.spec.image_size, key, part)
    readers = {
        ".csv": read_csv,
        ".tsv": read_csv,
        ".parquet": read_parquet,
        ".pq": read_parquet,
        ".npz": read_npz,
    }
    if path.suffix.lower() not in readers:
        raise InputError(Problem(f'expected {FORMS}, got a file ending in "{path.suffix}"', key))
    if path.stat().st_size == 0:
        raise InputError(Problem(f"{written} is empty", key))
    return readers[path.suffix.lower()](path, written, key, part)


def _check_division(raw: RawData, spec: DataSpec) -> None:
    given = sorted({origin.part for origin in raw.origins if origin.part is not None})
    if given and spec.split.column is not None:
        message = f"{' and '.join(given)} rows are given separately; remove this key or those rows"
        raise InputError(Problem(message, "data.split.column"))
    if "validation" in given and spec.split.folds is not None:
        message = "folds divide the rows themselves, but validation rows are given separately; remove one of the two"
        raise InputError(Problem(message, "data.split.folds"))
