"""The door to data: whatever `data.source` names becomes rows with their places.

Nothing is fetched over the network here, except by `keras:<name>`, which asks Keras.
"""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.data.arrays import call_loader, read_npz
from pipelines.data.images import read_images
from pipelines.data.named_sets import load_keras, load_sklearn
from pipelines.data.prepared import InputKind
from pipelines.data.raw import PartName, RawData, combine
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
    parts = [_load_source(spec.source, "data.source", spec, base, prefers, None)]
    given = {origin.part for origin in parts[0].origins}
    extra: list[tuple[PartName, str | None]] = [("validation", spec.validation_source), ("test", spec.test_source)]
    for part, source in extra:
        key = f"data.{part}_source"
        if source is None:
            continue
        if part in given:
            raise InputError(Problem(f"{spec.source} already brings {part} rows; remove this key", key))
        if spec.split.column is not None:
            raise InputError(Problem("expected either a separate file or data.split.column, got both", key))
        parts.append(_load_source(source, key, spec, base, prefers, part))
    if spec.split.folds is not None and any(origin.part == "validation" for one in parts for origin in one.origins):
        message = "folds divide the rows themselves, but validation rows are given separately; remove one of the two"
        raise InputError(Problem(message, "data.split.folds"))
    return combine(parts)


def source_path(source: str, base: Path) -> Path | None:
    """Return the file or folder that a source names; None for a named set or a loader."""
    if _URL.match(source) or source.startswith(("sklearn:", "keras:")) or _LOADER.search(source):
        return None
    return base / source


def _load_source(
    source: str, key: str, spec: DataSpec, base: Path, prefers: InputKind, part: PartName | None
) -> RawData:
    if _URL.match(source):
        raise InputError(Problem(f"{source} is an address; download it and name the file, or write a loader", key))
    if _LOADER.search(source):
        return call_loader(source, base, key, part)
    kind, _, name = source.partition(":")
    if kind in ("sklearn", "keras") and name:
        if part is not None:
            raise InputError(Problem(f"{part} rows must be a file or a loader, got {source}", key))
        return load_sklearn(name, key, prefers) if kind == "sklearn" else load_keras(name, key)
    return _load_path(base / source, source, key, spec, part)


def _load_path(path: Path, source: str, key: str, spec: DataSpec, part: PartName | None) -> RawData:
    if not path.exists():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        beside = [name for name in beside if not name.startswith(".")][:50]
        raise InputError(Problem(f"there is no file or folder {source}; {nearest(path.name, beside)}", key))
    if path.is_dir():
        return read_images(path, source, spec.image_size, key, part)
    suffix = path.suffix.lower()
    if path.stat().st_size == 0:
        raise InputError(Problem(f"{source} is empty", key))
    if suffix in (".csv", ".tsv"):
        return read_csv(path, source, key, part)
    if suffix in (".parquet", ".pq"):
        return read_parquet(path, source, key, part)
    if suffix == ".npz":
        return read_npz(path, source, key, part)
    raise InputError(Problem(f'expected {FORMS}, got a file ending in "{suffix}"', key))
