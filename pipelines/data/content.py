"""Features of a study's rows, ready to be written: preprocessed columns or arrays, or examples as they were given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.columns.encoding import Plan, describe_encodings
from pipelines.data.examples.example_form import ExampleForm
from pipelines.data.examples.examples import Examples
from pipelines.data.examples.structures import flatten
from pipelines.data.fingerprint import update_digest
from pipelines.data.fitted.files import write_fitted
from pipelines.data.fitted.values import Fitted, fit_array, fit_columns
from pipelines.data.fitted.write_features import write_features, write_rows
from pipelines.data.prepared import PICTURES, Features, InputKind, RawColumn
from pipelines.data.raw import PARTS
from pipelines.data.splits.split import Split
from pipelines.data.targets.labels import Labels
from pipelines.data.window_content import WindowContent


@dataclasses.dataclass(frozen=True)
class ExampleContent:
    """Examples that a user model gets as they were given, or a table as a dict of its columns.

    Attributes:
        columns: the table's columns, if it was one.
        notes: choices made for the user.
    """

    examples: Examples
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def form(self) -> ExampleForm:
        """Form of the examples."""
        return self.examples.describe()

    @property
    def features(self) -> Features:
        """Inputs of a family's model."""
        return Features()

    @property
    def raw(self) -> tuple[RawColumn, ...]:
        """Inputs of the exported model."""
        leaves = flatten(self.form.x)
        if self.columns:
            return tuple(
                dataclasses.replace(column.raw, dtype=leaf.dtype)
                for column, leaf in zip(self.columns, leaves, strict=True)
            )
        return tuple(RawColumn(leaf.name, "array", leaf.shape, leaf.dtype) for leaf in leaves)

    @property
    def encodings(self) -> Mapping[str, str]:
        """Description of the encoding, by column."""
        names = [column.name for column in self.columns] or [column.name for column in self.raw]
        return {name: f"unchanged, {leaf.describe()}" for name, leaf in zip(names, flatten(self.form.x), strict=True)}

    def select_original_rows(self, numbers: Array) -> dict[str, Array]:
        """Return the raw inputs of some rows, before they are rounded to the exported model's types."""
        if self.columns:
            return {column.input: column.values[numbers] for column in self.columns}
        leaves = flatten(self.examples.take(numbers).x)
        # Ragged and sparse rows have no example in text.
        return {
            column.name: leaf for column, leaf in zip(self.raw, leaves, strict=True) if isinstance(leaf, np.ndarray)
        }

    def update_digest(self, digest: Any) -> None:
        """Add the values of all rows to a digest."""
        self.examples.update_digest(digest)

    def write_fold(self, folder: Path, labels: Labels, weights: Array | None, split: Split, fold: int) -> None:
        """Write the rows of every part of a fold."""
        folder.mkdir()
        for part in PARTS:
            self.examples.take(split.select_rows(part, fold)).save(folder / part)


@dataclasses.dataclass(frozen=True)
class PreprocessedContent:
    """Columns with their plan, or one array with the form that its preprocessing gives it.

    Attributes:
        keeps_bytes: whether prepared pictures of 8 bits are bytes on the disk; a user model's code takes arrays.
    """

    columns: tuple[Column, ...] = ()
    plan: Plan | None = None
    array: Array | None = None
    output: InputKind = "dense"
    is_series: bool = False
    marked: tuple[bool, ...] = ()
    past: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    keeps_bytes: bool = False

    @property
    def form(self) -> None:
        """None: a user model gets preprocessed features."""
        return

    @property
    def raw(self) -> tuple[RawColumn, ...]:
        """Inputs of the exported model."""
        if self.array is None:
            return tuple(column.raw for column in self.columns)
        if self.is_series:
            return (RawColumn("series", "array", self.array.shape[1:], "float32"),)
        flat = self.array.ndim == 2
        return (
            RawColumn("features" if flat else "image", "array" if flat else "image", self.array.shape[1:], "float32"),
        )

    @property
    def features(self) -> Features:
        """Inputs of a family's model."""
        if self.plan is not None:
            codes = tuple((self.columns[string.column].input, string.codes) for string in self.plan.coded)
            text = tuple((name, text.length, text.words) for name, text in self.plan.named_texts)
            image = None if self.plan.image is None else self.columns[self.plan.image].values.shape[1:]
            return Features(dense=self.plan.dense, codes=codes, text=text, image=image)
        assert self.array is not None
        shape = self.array.shape[1:]
        if self.output == "series":
            return Features(series=(shape[0], shape[1]), past=self.past)
        if self.output in PICTURES:
            # Sequences of a user model, and whatever else has other axes than a picture, have no such description.
            return Features(image=(shape[0], shape[1], shape[2])) if len(shape) == 3 else Features()
        return Features(dense=int(np.prod(shape)) + sum(self.marked))

    @property
    def encodings(self) -> Mapping[str, str]:
        """Description of the encoding, by column."""
        if self.plan is not None:
            return describe_encodings(self.plan, self.columns)
        return {self.raw[0].name: "pixels from 0 to 255" if self.output == "pixels" else "standardised"}

    def select_original_rows(self, numbers: Array) -> dict[str, Array]:
        """Return the raw inputs of some rows, before they are rounded to the exported model's types."""
        if self.array is not None:
            return {self.raw[0].name: self.array[numbers]}
        return {column.input: column.values[numbers] for column in self.columns}

    def update_digest(self, digest: Any) -> None:
        """Add the values of all rows to a digest."""
        update_digest(digest, self.array)
        single = [column for column in self.columns if column.values.ndim == 1]
        update_digest(digest, pd.DataFrame({column.input: column.values for column in single}))
        for column in self.columns:
            if column.values.ndim > 1:
                digest.update(column.input.encode())
                update_digest(digest, column.values)

    def write_fold(self, folder: Path, labels: Labels, weights: Array | None, split: Split, fold: int) -> None:
        """Write the rows of every part of a fold."""
        folder.mkdir()
        fitted = self._fit(split.select_rows("train", fold))
        write_fitted(fitted, folder)
        for part in PARTS:
            rows = split.select_rows(part, fold)
            for name, y in labels.list_arrays().items():
                np.save(folder / f"{part}.{name}.npy", y[rows])
            if weights is not None:
                np.save(folder / f"{part}.sample_weight.npy", weights[rows])
            raw = self._select_rows(rows)
            write_features(folder, part, fitted, raw, len(rows), keeps_bytes=self.keeps_bytes)
            if part != "train":
                self._write_raw(folder, part, raw)

    def _fit(self, training: Array) -> Fitted:
        if self.plan is not None:
            return fit_columns(self.plan, self.columns, training)
        assert self.array is not None
        return fit_array(self.raw[0].name, self.array, training, self.output, self.marked)

    def _select_rows(self, numbers: Array) -> Mapping[str, Any]:
        if self.array is not None:
            return {self.raw[0].name: _SelectedRows(self.array, numbers)}
        return {column.input: _round(column, column.values[numbers]) for column in self.columns}

    def _write_raw(self, folder: Path, part: str, raw: Mapping[str, Any]) -> None:
        if self.array is not None:
            write_rows(folder / f"{part}.raw.npy", next(iter(raw.values())))
            return
        # Parquet has no pixels.
        for name, values in raw.items():
            if values.ndim > 1:
                np.save(folder / f"{part}.raw.{name}.npy", values)
        single = {name: values for name, values in raw.items() if values.ndim == 1}
        pd.DataFrame(single).to_parquet(folder / f"{part}.raw.parquet", index=False)


Content = ExampleContent | PreprocessedContent | WindowContent
"""Features of all rows, with their description."""


def _round(column: Column, values: Array) -> Array:
    """Return values in the type of the exported model's input; pixels keep theirs, a quarter of the size."""
    return values if column.kind == "image" else values.astype(object if column.is_words else np.float32)


def gather_columns(columns: Sequence[Column]) -> dict[str, Array]:
    """Return a table's columns by the names of the model's inputs, each in its type.

    Whole numbers and Booleans without missing values are int64 and bool; other numbers float64 with NaN for missing
    values; dates float64 days since 1970-01-01 UTC; text Python strings, "" where missing. Pictures are uint8 [row,
    height, width, channel], lists of numbers [row, entry], and lists of words strings with blanks between.
    """
    return {column.input: _convert_column(column) for column in columns}


def _convert_column(column: Column) -> Array:
    values = column.values
    if column.is_words:
        return values.astype(object)
    if column.kind == "image":
        return values
    if not np.isfinite(values).all():
        return values.astype(np.float64)
    if column.kind == "boolean":
        return values.astype(bool)
    whole = (
        column.kind in ("numeric", "number_list")
        and bool(np.equal(np.mod(values, 1), 0).all())
        and np.abs(values).max() < 2**53
    )
    return values.astype(np.int64 if whole else np.float64)


class _SelectedRows:
    """Some rows of an array that may be in a file; a slice of them is read when it is needed."""

    def __init__(self, array: Array, rows: Array) -> None:
        self._array = array
        self._rows = rows

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self._array.dtype

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __getitem__(self, rows: slice) -> Array:
        """Return some of the rows."""
        selected: Array = self._array[self._rows[rows]]
        return selected
