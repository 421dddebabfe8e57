"""Columns of a table that name pictures: which they are, and their pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.prepared import InputKind
from pipelines.data.raw import RawData, select_column
from pipelines.data.reading.pictures import SUFFIXES, read_picture_files
from pipelines.data.reading.source_paths import may_name
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem

_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\x00", b"MM\x00*")
"""First bytes of the files of each kind."""
_ROWS = 100
"""Rows of which one picture must be there for a column to be one of pictures."""


def list_feature_columns(raw: RawData, spec: DataSpec) -> list[str]:
    """Return the columns of a table that are neither targets nor left out."""
    if raw.table is None:
        return []
    targets = [spec.target] if isinstance(spec.target, str) else list(spec.target or [])
    others = (*targets, *spec.drop, spec.weight, spec.split.column, spec.split.group)
    return [str(name) for name in raw.table.columns if name not in others]


def list_picture_names(raw: RawData, spec: DataSpec) -> list[str]:
    """Return the columns that are declared to be pictures, and those of other types that name nothing but pictures."""
    found = []
    for name in list_feature_columns(raw, spec):
        assert raw.table is not None
        chosen = spec.columns.get(name)
        declared = chosen.type if chosen else None
        if declared == "image" or (declared is None and _names_pictures(select_column(raw.table, name))):
            found.append(name)
    return found


def read_picture_columns(raw: RawData, spec: DataSpec, folder: Path, prefers: InputKind) -> RawData:
    """Return a table with the pictures that a column of it names.

    Args:
        raw: the table.
        spec: the study file's `data`.
        folder: the table's folder, which its paths start from.
        prefers: form of features that the model takes: columns of numbers have pictures beside them if declared.

    Raises:
        InputError: if pictures cannot be read, all of them named, or two columns name some.
    """
    declared = [name for name, chosen in spec.columns.items() if chosen.type == "image"]
    named = list_picture_names(raw, spec)
    there = [name for name in named if name not in declared and _has_some(raw, name, folder)]
    columns = [name for name in named if name in declared or (name in there and prefers != "dense")]
    if len(columns) > 1:
        quoted = " and ".join(f'"{name}"' for name in columns)
        message = f'the columns {quoted} hold pictures, and a model takes those of one; set data.drop: ["{columns[1]}"]'
        raise InputError(Problem(message, f"data.columns.{columns[1]}" if columns[1] in declared else "data.drop"))
    notes = tuple(_note_words(name, is_there=name in there) for name in named if name not in columns)
    raw = replace(raw, notes=(*raw.notes, *notes))
    return _read_column(columns[0], raw, spec, folder) if columns else raw


def list_paths_of(cells: pd.Series) -> list[str | bytes]:
    """Return a column's cells as paths, or as the contents of picture files; "" for a missing one."""
    return [_read_cell(cell) for cell in cells]


def list_picture_files(paths: Sequence[str | bytes], folder: Path) -> tuple[str, ...]:
    """Return the files that paths name."""
    named = [path for path in paths if isinstance(path, str) and path]
    return tuple(dict.fromkeys(str(folder / path) for path in named if may_name(path)))


def _read_cell(cell: Any) -> str | bytes:
    # Parquet files of Hugging Face hold records of both.
    if isinstance(cell, Mapping) and {"bytes", "path"} >= set(cell):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, bytes):
        return cell
    return str(cell).strip() if isinstance(cell, str | Path) else ""


def _read_column(name: str, raw: RawData, spec: DataSpec, folder: Path) -> RawData:
    assert raw.table is not None
    paths = list_paths_of(select_column(raw.table, name))
    places = [raw.format_place(row) for row in range(raw.rows)]
    key = f"data.columns.{name}" if name in spec.columns else raw.origins[0].key
    read = read_picture_files(paths, folder, spec.image_size, key, places, skip_broken=spec.skip_broken)
    note = f'column "{name}" names pictures, which the model gets; set data.columns.{name}.type: string for categories'
    kept = raw.select(np.asarray(read.read))
    return replace(
        kept,
        pictures={name: read.array},
        picture_files=list_picture_files(paths, folder),
        notes=(*raw.notes, *([] if name in spec.columns else [note]), *read.notes),
    )


def _names_pictures(cells: pd.Series) -> bool:
    if isinstance(cells.dtype, np.dtype) and cells.dtype.kind in "biufcmM":
        return False  # numbers and times
    # Of most columns the first cells show that they do not.
    if not all(_is_picture(path) for path in list_paths_of(cells.head(_ROWS)) if path):
        return False
    paths = [path for path in list_paths_of(cells) if path]
    return bool(paths) and all(_is_picture(path) for path in paths)


def _is_picture(path: str | bytes) -> bool:
    return path.startswith(_SIGNATURES) if isinstance(path, bytes) else path.lower().endswith(SUFFIXES)


def _has_some(raw: RawData, name: str, folder: Path) -> bool:
    assert raw.table is not None
    paths = [path for path in list_paths_of(select_column(raw.table, name).head(_ROWS)) if path]
    return any(isinstance(path, bytes) or (may_name(path) and (folder / path).is_file()) for path in paths)


def _note_words(name: str, *, is_there: bool) -> str:
    if is_there:
        return f'column "{name}" names pictures, which model: mixed or a model of yours reads; here they are words'
    return (
        f'column "{name}" holds names of pictures, but none is beside the table, so they are words like any other; for '
        f"pictures, set data.columns.{name}.type: image"
    )
