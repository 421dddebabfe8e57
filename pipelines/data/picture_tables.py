"""Tables of picture files and their labels, as arrays of pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from pipelines.data.pictures import SUFFIXES, read_picture_files
from pipelines.data.raw import RawData
from pipelines.data.source_file import SourceFile
from pipelines.data.tabular_files import select_column
from pipelines.spec.data_spec import DataSpec

_ROWS = 100
"""Rows by which a column of picture files is known."""


def names_pictures(raw: RawData, spec: DataSpec) -> bool:
    """Return whether one feature column of a table names picture files."""
    return bool(_find_columns(raw, spec))


def read_picture_table(raw: RawData, file: SourceFile) -> RawData:
    """Return the pictures that a table names, with its target column beside them.

    Raises:
        InputError: if pictures cannot be read, or the table has other feature columns.
    """
    spec, table = file.spec, raw.table
    assert table is not None
    columns = _find_columns(raw, spec)
    targets = [spec.target] if isinstance(spec.target, str) else list(spec.target or [])
    if not targets:
        raise file.refuse(f"name the column of labels; the columns are {', '.join(table.columns)}", "data.target")
    missing = [name for name in targets if name not in table.columns]
    if missing:
        names = ", ".join(table.columns)
        raise file.refuse(f'there is no column "{missing[0]}"; the columns are {names}', "data.target")
    others = [name for name in table.columns if name not in (*targets, *spec.drop, columns[0])]
    if others:
        listed = ", ".join(f'"{name}"' for name in others)
        message = f'the model takes the pictures of column "{columns[0]}" alone; name the other columns here: {listed}'
        raise file.refuse(message, "data.drop")
    places = [raw.format_place(row) for row in range(raw.rows)]
    paths = [str(cell).strip() for cell in select_column(table, columns[0])]
    base = file.path.parent
    read = read_picture_files(paths, base, spec.image_size, file.key, places, skip_broken=spec.skip_broken)
    kept = np.asarray(read.read)
    origin = replace(raw.origins[0], numbers=[int(raw.origins[0].numbers[row]) for row in read.read])
    note = f'pictures of {file.name} are the files of its column "{columns[0]}"'
    return RawData(
        (origin,),
        array=read.array,
        labels=table[targets].iloc[kept].reset_index(drop=True),
        notes=(*raw.notes, note, *read.notes),
    )


def _find_columns(raw: RawData, spec: DataSpec) -> list[str]:
    if raw.table is None:
        return []
    targets = [spec.target] if isinstance(spec.target, str) else list(spec.target or [])
    names = [str(name) for name in raw.table.columns if name not in (*targets, *spec.drop)]
    return [name for name in names if _names_pictures(select_column(raw.table, name).head(_ROWS))]


def _names_pictures(cells: pd.Series) -> bool:
    return all(isinstance(cell, str) and cell.strip().lower().endswith(SUFFIXES) for cell in cells)
