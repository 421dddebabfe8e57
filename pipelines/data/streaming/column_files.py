"""Columns of a table in files: numbers as they lie in memory, words as Arrow's strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.columns.source_types import ColumnKind
from pipelines.data.prepared import RawColumn
from tracking.mlflow.cell_values import CellForm


class NumberFile:
    """Numbers [row, ...] that are added piece by piece, then mapped into memory."""

    def __init__(self, path: Path, dtype: Any) -> None:
        self._path = path
        self._dtype = np.dtype(dtype)
        self._shape: tuple[int, ...] = ()
        self._file = path.open("wb")

    def add(self, values: Array) -> None:
        """Add further rows."""
        self._shape = values.shape[1:]
        self._file.write(np.ascontiguousarray(values, self._dtype).tobytes())

    def close(self) -> Array:
        """Return all rows, mapped from the file."""
        self._file.close()
        rows = self._path.stat().st_size // (self._dtype.itemsize * int(np.prod(self._shape)))
        if not rows:
            return np.zeros((0, *self._shape), self._dtype)
        return np.asarray(np.memmap(self._path, self._dtype, mode="r", shape=(rows, *self._shape)))

    def abandon(self) -> None:
        """Close the file, whose rows are not needed."""
        self._file.close()


class WordFile:
    """Strings [row] that are added piece by piece, then mapped into memory."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self._path = path
        self._schema = pa.schema([("word", pa.large_string())])
        self._writer = pa.ipc.new_file(path, self._schema)

    def add(self, values: Array) -> None:
        """Add further rows."""
        import pyarrow as pa

        self._writer.write_batch(pa.record_batch([pa.array(values, pa.large_string())], schema=self._schema))

    def close(self) -> Words:
        """Return all rows."""
        import pyarrow as pa

        self._writer.close()
        with pa.ipc.open_file(pa.memory_map(str(self._path))) as opened:
            return Words(opened.read_all().column("word"))

    def abandon(self) -> None:
        """Close the file, whose rows are not needed."""
        self._writer.close()


class Words:
    """Strings [row] in a file; a slice of them is an array of Python's strings."""

    def __init__(self, column: Any) -> None:
        self._column = column

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._column)

    def __getitem__(self, rows: slice) -> Array:
        """Return the strings of some rows [row]."""
        start, stop, _ = rows.indices(len(self))
        found: Array = self._column.slice(start, stop - start).to_numpy()
        return found


@dataclass(frozen=True)
class StoredColumn:
    """One feature column in a file.

    Attributes:
        name: the column's name in the source.
        input: its name in the exported model.
        values: its rows, mapped: float64 [row] or [row, entry], or strings.
        unrepresentable: rows whose number is infinite or beyond float32, and counts as missing.
        common: its distinct strings without the missing one; None for numbers, and where they are too many.
    """

    name: str
    input: str
    kind: ColumnKind
    values: Array | Words
    header: str
    form: CellForm
    why: str
    unrepresentable: int = 0
    common: frozenset[str] | None = field(default=None, repr=False)

    @property
    def is_words(self) -> bool:
        """Whether the values are strings."""
        return self.kind in ("string", "text", "word_list")

    @property
    def raw(self) -> RawColumn:
        """Return the column as the exported model's input."""
        kind = "string" if self.kind == "text" else self.kind
        dtype: Literal["float32", "string"] = "string" if self.is_words else "float32"
        shape = () if isinstance(self.values, Words) else self.values.shape[1:]
        return RawColumn(self.input, kind, shape, dtype, self.name, self.header, self.form)

    def read(self, start: int, stop: int) -> Array:
        """Return the values of some rows."""
        return self.values[start:stop]

    def mark_known(self, values: Array) -> Array:
        """Return whether each of some values is there, bool [row]."""
        known = np.asarray((values != "") if self.is_words else np.isfinite(values))
        return known if known.ndim == 1 else np.asarray(known.any(axis=1))


@dataclass(frozen=True)
class StoredRows:
    """All rows of a table in files.

    Attributes:
        columns: the feature columns.
        targets: of each target column its rows: numbers, or strings.
        weights: the weight of each row float32 [row]; None where all weigh alike.
        given: the part that each row was given for, as in `row_split`; -1 where it is still to be split.
        declared: the part of each row by `data.split.column`; None without it.
        sources: per file its name and number of rows.
        notes: choices made for the user while reading.
    """

    rows: int
    columns: Sequence[StoredColumn]
    targets: dict[str, Array | Words]
    weights: Array | None
    given: Array
    declared: Array | None
    sources: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]

    def locate(self, row: int) -> str:
        """Return the place of a row: its number, counted from 1 without a header, with the file's name if several."""
        for name, rows in self.sources:
            if row < rows:
                return f"row {row + 1}" if len(self.sources) == 1 else f"row {row + 1} of {name}"
            row -= rows
        raise IndexError(row)
