"""Rows of a table larger than memory, read into files.

Types and forms of columns are found from the first rows, and held to all others. Where a later row does not fit, the
first rows and those around it decide together, and all rows are read again. So a table that fits into the first rows
is read as in memory, and no row is read otherwise than the rest.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.column_reading import MIXED_FROM, ColumnReading
from pipelines.data.columns.columns import read_each_column
from pipelines.data.columns.further_rows import read_further_rows
from pipelines.data.columns.input_names import make_input_names
from pipelines.data.columns.text_types import find_word_form
from pipelines.data.raw import RawData, combine, select_column
from pipelines.data.read_content import drop_split_columns
from pipelines.data.row_filters import keep_labelled
from pipelines.data.row_weights import split_weight
from pipelines.data.splits.split_rows import read_parts
from pipelines.data.streaming.column_files import NumberFile, StoredColumn, StoredRows, WordFile, Words
from pipelines.data.streaming.pieces import PIECE_CELLS, iterate_pieces
from pipelines.data.streaming.row_split import NUMBERS
from pipelines.data.streaming.target_files import TargetFiles
from pipelines.data.targets.labels import split_target
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem

FIRST_PIECES = 2
"""Pieces that decide the types of columns."""
_MOST_READINGS = 12
_MOST_DISTINCT = 100_000
_MOST_NOTES = 20


@dataclass(frozen=True)
class FirstRows:
    """The rows that decide the types of columns, with the readings of these."""

    raw: RawData
    targets: pd.DataFrame
    readings: dict[str, ColumnReading]
    notes: tuple[str, ...]


class _OtherTypeError(Exception):
    """A piece has rows that the types found so far do not fit."""

    def __init__(self, column: str, piece: RawData, error: InputError | None) -> None:
        super().__init__(column)
        self.column = column
        self.piece = piece
        self.error = error


def read_table(spec: DataSpec, base: Path, folder: Path, cells: int = PIECE_CELLS) -> tuple[StoredRows, FirstRows]:
    """Read all rows of a study's table into files of a folder.

    Args:
        spec: the study file's `data`.
        base: folder that paths are relative to.
        folder: folder of the files; emptied first.
        cells: about so many are in memory at a time.

    Raises:
        InputError: for rows that cannot be read.
    """
    deciding = [_keep_labelled(piece, spec) for piece in islice(iterate_pieces(spec, base, cells), FIRST_PIECES)]
    settled: set[str] = set()
    for _ in range(_MOST_READINGS):
        first = _read_first(combine(deciding), spec)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            return _write_rows(spec, base, folder, first, cells, settled), first
        except _OtherTypeError as other:
            before = first.readings[other.column]
            deciding.append(other.piece)
            after = _read_first(combine(deciding), spec).readings[other.column]
            if other.error is None:
                settled.add(other.column)
            elif (before.kind, before.form) == (after.kind, after.form):
                raise other.error from None
    message = "types of columns were found anew too often, each time by later rows; set them under data.columns"
    raise InputError(Problem(message, "data.source"))


def _keep_labelled(piece: RawData, spec: DataSpec) -> RawData:
    return keep_labelled(piece, spec)[0] if spec.drop_unlabelled else piece


def _read_first(raw: RawData, spec: DataSpec) -> FirstRows:
    features, targets = split_target(raw, spec)
    table, _ = split_weight(features, raw, spec)
    assert table is not None
    readings, notes = read_each_column(drop_split_columns(table, spec), raw, spec)
    if not readings:
        raise InputError(Problem("there is no feature column; the table holds only the target", "data.source"))
    return FirstRows(raw, targets, readings, tuple(notes))


@dataclass
class _ColumnWriter:
    """Writer of one column, with what is counted over all its rows."""

    name: str
    reading: ColumnReading
    file: NumberFile | WordFile
    is_settled: bool
    unrepresentable: int = 0
    numbers: int = 0
    known: int = 0
    has_gaps: bool = False
    distinct: set[str] | None = field(default_factory=set)

    def add(self, piece: RawData, spec: DataSpec) -> None:
        """Add the rows of a piece.

        Raises:
            _OtherTypeError: if they do not fit the column's type.
        """
        assert piece.table is not None
        cells = select_column(piece.table, self.name)
        is_inferred = piece.text and self.reading.kind == "numeric" and self.reading.why == "every value"
        # Numbers of the first rows may be codes, where later ones begin with a zero.
        if is_inferred and not self.is_settled and cells.str.fullmatch(r"\s*0\d+\s*").any():
            raise _OtherTypeError(self.name, piece, None)
        try:
            found = read_further_rows(cells, self.name, piece, spec, self.reading)
        except InputError as error:
            raise _OtherTypeError(self.name, piece, error) from None
        self.unrepresentable += found.unrepresentable
        self.file.add(found.values)
        if isinstance(self.file, WordFile):
            self._count_words(found.values)

    def _count_words(self, values: Array) -> None:
        counts = pd.Series(values).value_counts(sort=False)
        words = counts.index.to_numpy(dtype=object)
        is_known = words != ""
        self.has_gaps |= not bool(is_known.all())
        self.known += int(counts[is_known].sum())
        if self.reading.why == "words" and self.reading.kind == "string":
            fits = pd.to_numeric(pd.Series(words), errors="coerce").notna().to_numpy(dtype=bool)
            self.numbers += int(counts[fits & is_known].sum())
        if self.distinct is not None:
            self.distinct.update(words[is_known].tolist())
            if len(self.distinct) > _MOST_DISTINCT:
                self.distinct = None

    def close(self, input_name: str, header: str) -> StoredColumn:
        """Return the column with all its rows.

        Raises:
            InputError: if it holds numbers among words.
        """
        values, form = self.file.close(), self.reading.form
        if self.numbers and self.numbers >= MIXED_FROM * self.known:
            message = (
                f'column "{self.name}" mixes types: {self.numbers:,} of its {self.known:,} values are numbers, the '
                f"others are not; correct them, name them in data.missing_values, or set data.columns.{self.name}.type "
                "to string"
            )
            raise InputError(Problem(message, "data.source"))
        distinct = self.distinct if isinstance(values, Words) else None
        if self.reading.kind == "string" and distinct is not None:
            of_words = find_word_form(sorted(distinct), has_gaps=self.has_gaps)
            form = replace(of_words, missing=form.missing, replaced=form.replaced)
        common = None if distinct is None else frozenset(distinct)
        kind, why = self.reading.kind, self.reading.why
        return StoredColumn(self.name, input_name, kind, values, header, form, why, self.unrepresentable, common)


def _write_rows(
    spec: DataSpec, base: Path, folder: Path, first: FirstRows, cells: int, settled: set[str]
) -> StoredRows:
    writers = [
        _ColumnWriter(name, reading, _open_column(folder / f"column-{index}", reading), name in settled)
        for index, (name, reading) in enumerate(first.readings.items())
    ]
    files = _RowFiles(folder, spec, TargetFiles(folder, first.targets, first.raw.text, spec))
    try:
        for piece in iterate_pieces(spec, base, cells):
            for kept in files.add(piece):
                for writer in writers:
                    writer.add(kept, spec)
    except BaseException:
        for file in (files, *(writer.file for writer in writers)):
            file.abandon()
        raise
    inputs, headers = make_input_names(list(first.readings)), first.raw.headers
    columns = [writer.close(inputs[writer.name], headers.get(writer.name, "")) for writer in writers]
    stored = files.close(columns)
    return replace(stored, notes=(*stored.notes, *first.notes))


def _open_column(path: Path, reading: ColumnReading) -> NumberFile | WordFile:
    return WordFile(path) if reading.kind in ("string", "text", "word_list") else NumberFile(path, np.float64)


class _RowFiles:
    """Files of all that rows have beside their feature columns."""

    def __init__(self, folder: Path, spec: DataSpec, targets: TargetFiles) -> None:
        self._spec = spec
        self._targets = targets
        self._weights = NumberFile(folder / "weights", np.float32) if spec.weight is not None else None
        self._given = NumberFile(folder / "given", np.int8)
        self._declared = NumberFile(folder / "declared", np.int8) if spec.split.column is not None else None
        self._sources: dict[str, int] = {}
        self._notes: dict[str, None] = {}
        self._left_out: list[str] = []
        self._unlabelled = 0

    def add(self, piece: RawData) -> Iterator[RawData]:
        """Add the rows of a piece, and yield those that are kept.

        Raises:
            InputError: if a weight, a part or a target cannot be used.
        """
        self._notes.update(dict.fromkeys(piece.notes))
        if self._spec.drop_unlabelled:
            piece, dropped = keep_labelled(piece, self._spec)
            self._unlabelled += len(dropped)
            self._left_out += dropped[: max(0, 3 - len(self._left_out))]
        if not piece.rows:
            return
        features, targets = split_target(piece, self._spec)
        _, weighting = split_weight(features, piece, self._spec)
        if self._weights is not None and weighting is not None:
            self._weights.add(np.asarray(weighting.values))
        origin = piece.origins[0]
        number = -1 if origin.part is None else NUMBERS[origin.part]
        self._given.add(np.full(piece.rows, number, dtype=np.int8))
        if self._declared is not None and self._spec.split.column is not None:
            parts = read_parts(piece, self._spec.split.column)
            self._declared.add(pd.Series(parts).map(NUMBERS).to_numpy(dtype=np.int8))
        self._targets.add(targets, piece)
        self._sources[origin.name] = self._sources.get(origin.name, 0) + piece.rows
        yield piece

    def abandon(self) -> None:
        """Close the files, whose rows are not needed."""
        for file in (self._targets, self._weights, self._given, self._declared):
            if file is not None:
                file.abandon()

    def close(self, columns: list[StoredColumn]) -> StoredRows:
        """Return all rows.

        Raises:
            InputError: if none is left.
        """
        notes = list(self._notes)
        if len(notes) > _MOST_NOTES:
            notes = [*notes[:_MOST_NOTES], f"{len(notes) - _MOST_NOTES} more notes on how rows were read are left out"]
        given = self._given.close()
        if not len(given):
            raise InputError(Problem("every row is without a target; none is left", "data.drop_unlabelled"))
        if self._unlabelled:
            counted = "1 row is" if self._unlabelled == 1 else f"{self._unlabelled} rows are"
            more = f" and {self._unlabelled - 3} more" if self._unlabelled > 3 else ""
            places = f"{', '.join(self._left_out)}{more}"
            notes.append(f"{counted} left out, without a target ({places}); data.drop_unlabelled decides that")
        return StoredRows(
            len(given),
            columns,
            self._targets.close(),
            None if self._weights is None else self._weights.close(),
            given,
            None if self._declared is None else self._declared.close(),
            tuple(self._sources.items()),
            tuple(notes),
        )
