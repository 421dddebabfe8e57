"""Digests of a study's data: of its sources and settings, and of its rows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.prepared import InputKind
from pipelines.data.raw import RawData
from pipelines.data.reading.source_paths import list_paths
from pipelines.data.scratch import iterate_chunks
from pipelines.data.splits.division import Division
from pipelines.spec.data_spec import DataSpec

FORMAT = 6
"""Version of a prepared folder's files: a folder of another version is prepared again."""


_PICTURES = "pictures.json"


def calculate_source_fingerprint(
    spec: DataSpec, base: Path, prefers: InputKind, division: Division | None = None
) -> str:
    """Return a digest of the study file's settings and of the files that they name; of a loader its code's file."""
    again = "" if division is None else f" {division}"
    settings = spec.model_dump_json(exclude=set(spec.list_later_keys()))
    digest = hashlib.sha256(f"{FORMAT} {prefers}{again} {settings}".encode())
    for path in (path for _, source in spec.list_sources() for path in list_paths(source, base)):
        for file in _list_files(path):
            # The folder of a picture is its label.
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            digest.update(name.encode())
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def calculate_fingerprint(sources: str, raw: RawData | None) -> str:
    """Return a digest of all that prepared data depends on.

    Args:
        sources: the result of `calculate_source_fingerprint`.
        raw: rows that no file of the study shows, such as a loader's; None where the files show them.
    """
    digest = hashlib.sha256(sources.encode())
    if raw is not None:
        # A loader may read anything: only its rows show whether they changed.
        update_digest(digest, raw.table, raw.array, raw.labels, raw.weights)
        if raw.examples is not None:
            raw.examples.update_digest(digest)
    return digest.hexdigest()


def _list_files(path: Path) -> list[Path]:
    return (
        sorted(file for file in path.rglob("*") if file.is_file())
        if path.is_dir()
        else [path]
        if path.is_file()
        else []
    )


def update_digest(digest: Any, *values: pd.DataFrame | Array | None) -> None:
    """Add the values of tables and arrays, with their names, types and shapes, to a digest."""
    for value in values:
        if isinstance(value, pd.DataFrame):
            digest.update(repr(list(value.columns)).encode())
            digest.update(hash_rows(value).tobytes())
        elif value is not None:
            digest.update(f"{value.dtype} {value.shape}".encode())
            # Some rows at a time: the array may be in a file, and larger than the memory.
            for start, stop in iterate_chunks(len(value), value[:1].nbytes):
                digest.update(np.ascontiguousarray(value[start:stop]).tobytes())


def hash_rows(table: pd.DataFrame) -> Array:
    """Return a hash of each row of a table, uint64 [row]."""
    # An array's own text leaves out what is in the middle.
    plain = {name: table[name].map(_write_plainly) if table[name].dtype == object else table[name] for name in table}
    return pd.util.hash_pandas_object(pd.DataFrame(plain).astype(str), index=False).to_numpy()


def _write_plainly(cell: Any) -> Any:
    return str(cell.tolist()) if isinstance(cell, np.ndarray) else cell


def write_picture_digests(folder: Path, files: Sequence[str], base: Path) -> None:
    """Write the digest of each picture that a table names, by its path from `base`, into a prepared folder."""
    digests = {os.path.relpath(file, base): _digest_file(Path(file)) for file in files}
    (folder / _PICTURES).write_text(json.dumps(digests), encoding="utf-8")


def are_pictures_unchanged(folder: Path, base: Path) -> bool:
    """Return whether the pictures of a prepared folder's table are as they were; True where it names none."""
    try:
        digests = json.loads((folder / _PICTURES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True
    return all(_digest_file(base / path) == digest for path, digest in digests.items())


def _digest_file(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return ""


def read_fingerprint(folder: Path) -> str | None:
    """Return the fingerprint of a prepared folder; None where there is none, or it was written by another version."""
    return _read(folder).get("fingerprint")


def read_source_fingerprint(folder: Path) -> str | None:
    """Return the fingerprint of a prepared folder's settings and files; None as for `read_fingerprint`."""
    return _read(folder).get("sources")


def read_declared_digest(folder: Path) -> str | None:
    """Return the digest of a prepared folder's rows with the declared split; None as for `read_fingerprint`."""
    return _read(folder).get("declared")


def _read(folder: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if read.get("format") == FORMAT else {}
