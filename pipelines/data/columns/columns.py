"""Feature columns of a table and their types: numbers, booleans, strings, text or dates.

If the source has types, a column's type is that of its values; for text (a CSV) it is inferred:

* the empty field and `data.missing_values` are missing; the words NA, N/A, NaN, null and None are missing in a
  column of numbers, booleans or dates, and categories like any other among strings;
* all true/false: boolean; all numbers, in whatever form: numeric (see `number_forms`); all dates: date (see
  `date_forms`); digits of which some begin with a zero: string;
* one in ten or more numbers (or dates) among other words is an error: the column holds either numbers with a mistake
  or codes, and only the user can decide;
* sentences: text (see `text_columns`); everything else: string.

Values have the form of the exported model's inputs: float64 with NaN for missing (dates as days since 1970-01-01 UTC,
infinity and what exceeds float32 as missing), or text with "" for missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.cell_text import clean_text, mark_missing_words
from pipelines.data.columns.column_reading import ColumnReading, read_column
from pipelines.data.columns.duration_forms import DURATION_CLOCKS
from pipelines.data.columns.input_names import make_input_names
from pipelines.data.columns.number_forms import NO_MARKS, Marks
from pipelines.data.columns.source_types import ColumnKind
from pipelines.data.columns.text_types import find_file_marks
from pipelines.data.prepared import RawColumn
from pipelines.data.raw import RawData, select_column
from pipelines.spec.data_spec import ColumnSpec, DataSpec
from search_spaces.errors import InputError, Problem, suggest_choice
from tracking.mlflow.cell_values import PLAIN, CellForm

_MOST_SAMPLED = 2_000

__all__ = ["Column", "ColumnKind", "clean_text", "mark_missing_words", "read_columns", "read_values"]


@dataclass(frozen=True)
class Column:
    """One feature column.

    Attributes:
        name: the column's name in the source.
        input: its name in the exported model.
        header: its name as the file has it, with blanks around; empty where it has none.
        values: float64 [row] with NaN for missing, or text [row] (dtype object) with "" for missing; lists of numbers
            float64 [row, entry], pictures uint8 [row, height, width, channel].
        form: form of its cells, where the source is text.
        why: why it has its kind, in words.
        unrepresentable: rows whose number is infinite or beyond float32, and counts as missing.
    """

    name: str
    input: str
    kind: ColumnKind
    values: Array
    header: str = ""
    form: CellForm = PLAIN
    why: str = ""
    unrepresentable: int = 0

    @property
    def raw(self) -> RawColumn:
        """Return the column as the exported model's input."""
        kind = "string" if self.kind == "text" else self.kind
        dtype: Literal["float32", "string"] = "string" if self.is_words else "float32"
        return RawColumn(self.input, kind, self.values.shape[1:], dtype, self.name, self.header, self.form)

    @property
    def is_words(self) -> bool:
        """Whether the values are strings, each a category, a sentence or several words."""
        return self.kind in ("string", "text", "word_list")

    @property
    def keys(self) -> Array:
        """One value a row that distinguishes rows [row]: the value itself, or a hash of a list or a picture."""
        if self.values.ndim == 1:
            return self.values
        return np.array([int.from_bytes(blake2b(row.tobytes(), digest_size=7).digest()) for row in self.values])

    @property
    def known(self) -> Array:
        """Whether each row has a value, bool [row]."""
        known = np.asarray((self.values != "") if self.is_words else np.isfinite(self.values))
        return known if known.ndim == 1 else np.asarray(known.reshape(len(known), -1).any(axis=1))


def read_columns(table: pd.DataFrame, raw: RawData, spec: DataSpec) -> tuple[list[Column], list[str]]:
    """Return the feature columns, and notes on how they were read and on columns left out.

    Args:
        table: the feature columns only, without target and split column.
        raw: the rows: whether cells are text, and the place of each row.
        spec: the study file's `data`.

    Raises:
        InputError: with all problems found: unknown names, mixed types, values that do not fit the declared type.
    """
    readings, notes = read_each_column(table, raw, spec)
    inputs = make_input_names(list(readings))
    columns = []
    for name, found in readings.items():
        column = Column(name, inputs[name], found.kind, found.values, raw.headers.get(name, ""), found.form, found.why)
        column = replace(column, unrepresentable=found.unrepresentable)
        if not column.known.any():
            notes.append(f'column "{name}" is left out: it has no value in any row')
        else:
            columns.append(column)
    if not columns:
        raise InputError(Problem("there is no feature column; the table holds only the target", "data.source"))
    return columns, notes


def read_each_column(table: pd.DataFrame, raw: RawData, spec: DataSpec) -> tuple[dict[str, ColumnReading], list[str]]:
    """Return the reading of each feature column, and notes on how they were read.

    Raises:
        InputError: as `read_columns` does.
    """
    problems = list(find_unknown_names(table, spec))
    others = find_source_marks(raw, spec)
    readings, notes = dict[str, ColumnReading](), list[str]()
    for name in (str(name) for name in table.columns if name not in spec.drop):
        try:
            found = read_column(select_column(table, name), name, raw, spec, others)
        except InputError as error:
            # Go on with the other columns: all problems are reported at once.
            problems += error.problems
            continue
        problems += _find_idle_settings(name, found, spec.columns.get(name))
        notes += found.notes
        readings[name] = found
    if problems:
        raise InputError(problems)
    return readings, notes


def read_values(series: pd.Series, name: str, raw: RawData, spec: DataSpec) -> tuple[ColumnKind, Array]:
    """Return one column's type and values.

    Raises:
        InputError: for mixed types, and values that do not fit the declared type.
    """
    found = read_column(series, name, raw, spec)
    return found.kind, found.values


def leave_out_idle(
    columns: list[Column], training: Array, spec: DataSpec, *, is_unchanged: bool = False
) -> tuple[list[Column], list[str]]:
    """Return the columns that training can learn from, and a note on each other one.

    Args:
        columns: the feature columns, all rows.
        training: numbers of the rows that any fold trains on.
        spec: the study file's `data`; a column with settings stays even if it is constant.
        is_unchanged: whether a user model gets the columns as they are; constant ones stay too.

    Raises:
        InputError: if none is left.
    """
    kept, notes = [], []
    for column in columns:
        reason = explain_idle(column, training)
        stays = is_unchanged or column.name in spec.columns
        if reason and ("no value" in reason or not stays):
            advice = "" if stays else f"; any setting under data.columns.{column.name} keeps it"
            notes.append(f'column "{column.name}" is left out: {reason}{advice if "no value" not in reason else ""}')
        else:
            kept.append(column)
    if not kept:
        message = f"no column has two values in the training rows: {'; '.join(notes)}"
        raise InputError(Problem(message, "data.source"))
    return kept, notes


def find_source_marks(raw: RawData, spec: DataSpec) -> Marks:
    """Return the marks in numbers that the text columns of a file agree on."""
    if not raw.text or raw.table is None:
        return NO_MARKS
    names = [str(name) for name in raw.table.columns if name not in spec.drop]
    samples = []
    for name in names:
        words = pd.unique(select_column(raw.table, name).iloc[:_MOST_SAMPLED])
        cells = clean_text(pd.Series(words, name=name, dtype=object), spec)
        samples.append(cells[~mark_missing_words(cells)].tolist())
    return find_file_marks(samples)


def explain_idle(column: Column, training: Array) -> str:
    """Return why nothing can be learnt from a column; "" if something can."""
    known = column.known[training]
    if not known.any():
        return "it has no value in any training row"
    values = column.values[training][known]
    if values.ndim > 1:
        return "it is the same in every training row" if known.all() and (values == values[0]).all() else ""
    # A gap distinguishes rows too.
    if known.all() and (values == values[0]).all():
        return (
            f"it is {values[0]!r} in every training row"
            if column.is_words
            else f"it is {values[0]:.12g} in every training row"
        )
    return ""


def _find_idle_settings(name: str, found: ColumnReading, chosen: ColumnSpec | None) -> Iterator[Problem]:
    """Yield a problem for each setting that a column of this kind does not have."""
    if chosen is None:
        return
    is_word_list = found.kind == "word_list" and chosen.encoding == "one_hot"
    if chosen.encoding is not None and found.kind != "string" and not is_word_list:
        message = f"an encoding is for strings, but the column is {found.kind}; set type: string, or remove this key"
        yield Problem(message, f"data.columns.{name}.encoding")
    of_kind: Mapping[Literal["text", "numeric", "date"], tuple[str, ...]] = {
        "text": ("length", "vocabulary"),
        "numeric": ("decimal", "thousands"),
        "date": ("dayfirst", "format", "unit"),
    }
    if chosen.unit is not None and found.kind == "date" and not found.form.unit:
        yield Problem("a unit is for numbers, but the column holds dates; remove this key", f"data.columns.{name}.unit")
    for kind, settings in of_kind.items():
        for setting in settings:
            if setting == "format" and found.form.duration and chosen.format in DURATION_CLOCKS:
                continue
            if getattr(chosen, setting) is not None and found.kind != kind:
                words = {"numeric": "numbers", "date": "dates", "text": "text"}[kind]
                message = (
                    f"this setting is for {words}, but the column is {found.kind}; set type: {kind}, or remove this key"
                )
                yield Problem(message, f"data.columns.{name}.{setting}")


def find_unknown_names(table: pd.DataFrame, spec: DataSpec) -> Iterator[Problem]:
    """Yield a problem for each name in the study file's `data` that the table's features do not have."""
    known = [str(name) for name in table.columns]
    targets = [spec.target] if isinstance(spec.target, str) else spec.target or []
    for name in spec.drop:
        if name not in known:
            yield Problem(f'there is no feature column "{name}"; {suggest_choice(name, known)}', "data.drop")
    for name in spec.columns:
        key = f"data.columns.{name}"
        if name not in known and name not in targets:
            yield Problem(f'there is no feature column "{name}"; {suggest_choice(name, known)}', key)
        elif name in spec.drop:
            yield Problem(f'column "{name}" has settings here and is left out by data.drop; remove one of the two', key)
    if isinstance(spec.missing_values, dict):
        for name in spec.missing_values:
            if name not in known and name not in targets:
                message = f'there is no column "{name}"; {suggest_choice(name, [*known, *targets])}'
                yield Problem(message, f"data.missing_values.{name}")
