"""Tables of picture files and their labels, as arrays of pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipelines.data.columns.columns import find_unknown_names
from pipelines.data.prepared import PICTURES, InputKind
from pipelines.data.raw import RawData, select_column
from pipelines.data.reading.image_columns import (
    list_feature_columns,
    list_paths_of,
    list_picture_files,
    list_picture_names,
    read_picture_columns,
)
from pipelines.data.reading.pictures import read_picture_files
from pipelines.data.reading.source_file import SourceFile
from search_spaces.errors import InputError


def read_pictures_of(raw: RawData, file: SourceFile, prefers: InputKind) -> RawData:
    """Return a table with the pictures that it names: alone as one array, or as a column beside others.

    Raises:
        InputError: if pictures cannot be read, or the model takes nothing else and the table has other columns.
    """
    spec = file.spec
    named = list_picture_names(raw, spec)
    is_alone = named == list_feature_columns(raw, spec) and len(named) == 1 and named[0] not in spec.columns
    if named and (prefers in PICTURES or (prefers == "any" and spec.image_size is not None and is_alone)):
        return _read_alone(raw, file, named)
    if prefers in ("dense", "mixed", "any") and spec.series is None:
        raw = read_picture_columns(raw, spec, file.path.parent, prefers)
    if spec.image_size is not None and not raw.pictures:
        message = f"pictures are resized, but {file.name} is neither an image folder nor a table of their paths"
        raise file.refuse(f"{message}; remove this key", "data.image_size")
    return raw


def _read_alone(raw: RawData, file: SourceFile, columns: list[str]) -> RawData:
    spec, table = file.spec, raw.table
    assert table is not None
    targets = [spec.target] if isinstance(spec.target, str) else list(spec.target or [])
    if not targets:
        raise file.refuse(f"name the column of labels; the columns are {', '.join(table.columns)}", "data.target")
    missing = [name for name in targets if name not in table.columns]
    if missing:
        names = ", ".join(table.columns)
        raise file.refuse(f'there is no column "{missing[0]}"; the columns are {names}', "data.target")
    if problems := list(find_unknown_names(table, spec)):
        raise InputError(problems)
    others = [name for name in table.columns if name not in (*targets, *spec.drop, columns[0])]
    if others:
        listed = ", ".join(f'"{name}"' for name in others)
        message = f'the model takes the pictures of column "{columns[0]}" alone; name the other columns here: {listed}'
        raise file.refuse(f"{message}; or set model: mixed, which takes them together", "data.drop")
    places = [raw.format_place(row) for row in range(raw.rows)]
    paths, base = list_paths_of(select_column(table, columns[0])), file.path.parent
    read = read_picture_files(
        paths, base, spec.image_size, file.key, places, skip_broken=spec.skip_broken, scratch=file.scratch
    )
    kept = raw.select(np.asarray(read.read))
    assert kept.table is not None
    note = f'pictures of {file.name} are the files of its column "{columns[0]}"'
    return replace(
        kept,
        table=None,
        array=read.array,
        labels=kept.table[targets],
        text=False,
        picture_files=list_picture_files(paths, base),
        notes=(*raw.notes, note, *read.notes),
    )
