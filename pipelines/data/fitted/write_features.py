"""Files of encoded rows in a fold's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.data.fitted.row_encoder import RowEncoder
from pipelines.data.fitted.values import Fitted
from pipelines.data.scratch import create_array


def write_features(folder: Path, part: str, fitted: Fitted, raw: Mapping[str, Any], rows: int) -> None:
    """Write the encoded rows of a part, a file for each output.

    Args:
        folder: folder of the fold.
        part: name of the part.
        fitted: the preprocessing.
        raw: the raw rows by input, arrays or what can be sliced like these.
        rows: number of rows.
    """
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
