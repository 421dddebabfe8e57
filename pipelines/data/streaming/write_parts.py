"""Prepared arrays of rows in files, written some rows at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.fitted.files import write_fitted
from pipelines.data.fitted.row_encoder import RowEncoder
from pipelines.data.fitted.values import FittedTable, OutputForm
from pipelines.data.prepared import RawColumn
from pipelines.data.raw import PARTS, PartName
from pipelines.data.scratch import create_array, iterate_chunks
from pipelines.data.streaming.column_files import StoredColumn, StoredRows
from pipelines.data.streaming.row_split import StoredLabels, StoredSplit

_COPIES = 8  # a guess at the copies of a row
_GROUP_ROWS = 8_192


def write_fold(
    folder: Path, fitted: FittedTable, stored: StoredRows, labels: StoredLabels, split: StoredSplit, fold: int
) -> None:
    """Write the rows of every part of a fold, and the preprocessing.

    Args:
        folder: folder of the fold.
        fitted: the preprocessing, fitted to the fold's training rows.
        stored: all rows.
        labels: their labels.
        split: their division.
        fold: number of the fold.
    """
    folder.mkdir()
    write_fitted(fitted, folder)
    encoder, forms = RowEncoder(fitted), fitted.outputs
    parts = {part: _PartWriter(folder, part, split.count(part, fold), stored, labels, forms) for part in PARTS}
    row_bytes = _COPIES * sum(max(8, 8 * int(np.prod(column.raw.shape))) for column in stored.columns)
    for start, stop in iterate_chunks(stored.rows, row_bytes):
        marked = {part: split.mark(part, fold, start, stop) for part in PARTS}
        if not any(marks.any() for marks in marked.values()):
            continue
        raw = {column.input: _round(column, column.read(start, stop)) for column in stored.columns}
        features = encoder.encode(raw)
        for part, marks in marked.items():
            if marks.any():
                parts[part].add(features, raw, start, stop, marks)
    for writer in parts.values():
        writer.close()


def _round(column: StoredColumn, values: Array) -> Array:
    """Return values in the type of the exported model's input."""
    return values.astype(object if column.is_words else np.float32)


class _PartWriter:
    """Writer of the arrays of one part."""

    def __init__(
        self,
        folder: Path,
        part: PartName,
        rows: int,
        stored: StoredRows,
        labels: StoredLabels,
        forms: Mapping[str, OutputForm],
    ) -> None:
        self._labels = labels
        self._weights = stored.weights
        self._written = 0
        self._features = {
            name: create_array(folder / f"{part}.{name}.npy", (rows, *shape), dtype)
            for name, (shape, dtype) in forms.items()
        }
        self._y = create_array(folder / f"{part}.y.npy", (rows, *labels.y.shape[1:]), labels.y.dtype)
        self._own: np.memmap[Any, Any] | None = None
        if stored.weights is not None:
            self._own = create_array(folder / f"{part}.sample_weight.npy", (rows,), np.float32)
        raw = [column.raw for column in stored.columns]
        self._raw = None if part == "train" else _RawWriter(folder, part, rows, raw)

    def add(self, features: Mapping[str, Array], raw: Mapping[str, Array], start: int, stop: int, marks: Array) -> None:
        """Add those of some rows that are marked."""
        rows = slice(self._written, self._written + int(marks.sum()))
        for name, values in features.items():
            self._features[name][rows] = values[marks]
        self._y[rows] = self._labels.y[start:stop][marks]
        if self._own is not None and self._weights is not None:
            self._own[rows] = self._weights[start:stop][marks]
        if self._raw is not None:
            self._raw.add({name: values[marks] for name, values in raw.items()}, rows)
        self._written = rows.stop

    def close(self) -> None:
        """Finish the files."""
        for array in (*self._features.values(), self._y, *([] if self._own is None else [self._own])):
            array.flush()
        if self._raw is not None:
            self._raw.close()


@dataclass(frozen=True)
class _RawFile:
    """A Parquet file that rows are added to."""

    writer: Any
    schema: Any


class _RawWriter:
    """Writer of the raw rows of a part, as `prepared_folder.load_raw` reads them."""

    def __init__(self, folder: Path, part: PartName, rows: int, columns: Sequence[RawColumn]) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        # Parquet has no lists of one length.
        self._wide = {
            column.name: create_array(folder / f"{part}.raw.{column.name}.npy", (rows, *column.shape), np.float32)
            for column in columns
            if column.shape
        }
        types = {"float32": pa.float32(), "string": pa.string()}
        schema = pa.schema([(column.name, types[column.dtype]) for column in columns if not column.shape])
        self._file = _RawFile(pyarrow.parquet.ParquetWriter(folder / f"{part}.raw.parquet", schema), schema)

    def add(self, raw: Mapping[str, Array], rows: slice) -> None:
        """Add some rows."""
        import pyarrow as pa

        for name, array in self._wide.items():
            array[rows] = raw[name]
        columns = [pa.array(raw[field.name], field.type, from_pandas=False) for field in self._file.schema]
        if columns:
            batch = pa.record_batch(columns, schema=self._file.schema)
            self._file.writer.write_batch(batch, row_group_size=_GROUP_ROWS)

    def close(self) -> None:
        """Finish the files."""
        for array in self._wide.values():
            array.flush()
        self._file.writer.close()
