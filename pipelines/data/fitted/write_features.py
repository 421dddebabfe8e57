"""Files of encoded rows in a fold's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.data.examples.picture_rows import BYTES_SUFFIX
from pipelines.data.fitted.row_encoder import RowEncoder
from pipelines.data.fitted.stored_pictures import are_bytes, find_pictures, leave_out_pictures
from pipelines.data.fitted.values import Fitted
from pipelines.data.scratch import create_array, iterate_chunks


def write_features(
    folder: Path, part: str, fitted: Fitted, raw: Mapping[str, Any], rows: int, *, keeps_bytes: bool = False
) -> None:
    """Write the encoded rows of a part, a file for each output.

    Args:
        folder: folder of the fold.
        part: name of the part.
        fitted: the preprocessing.
        raw: the raw rows by input, arrays or what can be sliced like these.
        rows: number of rows.
        keeps_bytes: whether pictures of 8 bits are written as bytes, which become numbers where rows are read.
    """
    pictures = find_pictures(fitted) if keeps_bytes else None
    if pictures is not None and are_bytes(raw[pictures.input]):
        write_rows(folder / f"{part}.{pictures.output}{BYTES_SUFFIX}.npy", raw[pictures.input])
        others = leave_out_pictures(fitted)
        if others is None:
            return
        fitted = others
    arrays = {
        name: create_array(folder / f"{part}.{name}.npy", (rows, *shape), dtype)
        for name, (shape, dtype) in fitted.outputs.items()
    }
    # Chunk by chunk into the file: an encoded table may be larger than memory.
    for start, outputs in RowEncoder(fitted).iterate(raw):
        for name, values in outputs.items():
            arrays[name][start : start + len(values)] = values
    for array in arrays.values():
        array.flush()


def write_rows(path: Path, rows: Any) -> None:
    """Write rows as they are, some at a time.

    Args:
        path: a new file.
        rows: an array, or what has its length, type and slices.
    """
    few = rows[:1]
    written = create_array(path, (len(rows), *few.shape[1:]), few.dtype)
    for start, stop in iterate_chunks(len(rows), few.nbytes):
        written[start:stop] = rows[start:stop]
    written.flush()
