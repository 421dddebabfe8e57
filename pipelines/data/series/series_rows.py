"""Rows of a table of time series as columns of values, in the order of series and time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.column_reading import ColumnReading, read_column
from pipelines.data.columns.columns import find_source_marks
from pipelines.data.columns.source_types import ColumnKind
from pipelines.data.raw import RawData, select_column
from pipelines.spec.data_spec import ColumnSpec, DataSpec, SeriesSpec
from search_spaces.errors import InputError, Problem, suggest_choice
from tracking.mlflow.cell_values import PLAIN, CellForm

CHANNEL_KINDS: tuple[ColumnKind, ...] = ("numeric", "boolean", "date", "string")
"""Kinds of columns that a window can hold."""


@dataclass(frozen=True)
class SeriesColumn:
    """One column of a table of series.

    Attributes:
        name: the column's name in the source.
        values: float64 [row] with NaN for missing, dates in days since 1970-01-01; strings [row] with "" for missing.
        form: form of its cells, where the source is text.
    """

    name: str
    kind: ColumnKind
    values: Array
    form: CellForm = PLAIN

    @property
    def is_words(self) -> bool:
        """Whether the values are categories."""
        return self.kind == "string"


@dataclass(frozen=True)
class SeriesRows:
    """All rows of a table, in the order of series and time.

    Attributes:
        row: number of the row in the table.
        time: column of its time; without a gap.
        series: number of its series; a series does not go on in another file.
        by: column with the name of its series; None where the table is one series.
        columns: columns that windows hold, in the order of the table.
        targets: per name the target's value.
        notes: choices made while reading.
    """

    row: Array
    time: SeriesColumn
    series: Array
    by: SeriesColumn | None
    columns: tuple[SeriesColumn, ...]
    targets: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def times(self) -> Array:
        """Time of each row, as a number."""
        return self.time.values

    @property
    def numbers(self) -> tuple[SeriesColumn, ...]:
        """Columns of numbers, Booleans and dates."""
        return tuple(column for column in self.columns if not column.is_words)

    @property
    def words(self) -> tuple[SeriesColumn, ...]:
        """Columns of categories."""
        return tuple(column for column in self.columns if column.is_words)


def read_series_rows(raw: RawData, spec: DataSpec, series: SeriesSpec) -> SeriesRows:
    """Return the rows of a table in the order of series and time.

    Raises:
        InputError: if a column is missing or of a kind that no window holds, a time is missing, or two rows of a series
            have one time.
    """
    table = raw.table
    assert table is not None
    targets = list_targets(spec)
    _check_names(table, targets, spec, series)
    time = _read_time(table, raw, spec, series)
    by = None if series.by is None else _read_by(table, series.by, raw, spec)
    group = _number_series(raw, by)
    order = np.lexsort((time.values, group))
    _check_times(time.values, group, order, raw, series)
    columns, notes = _read_channels(table, targets, raw, spec, series)
    if series.time in series.known:
        columns.append(time)
    if not columns:
        raise InputError(Problem("there is no column to make windows of", "data.series"))
    read = {column.name: column for column in columns}
    labels = {name: _select_labels(table, name, read) for name in targets}
    return SeriesRows(
        row=order,
        time=_take(time, order),
        series=group[order],
        by=None if by is None else _take(by, order),
        columns=tuple(_take(column, order) for column in columns),
        targets=pd.DataFrame(labels).iloc[order].reset_index(drop=True),
        notes=tuple(notes),
    )


def list_targets(spec: DataSpec) -> list[str]:
    """Return the names of the targets."""
    return [spec.target] if isinstance(spec.target, str) else list(spec.target or [])


def _take(column: SeriesColumn, rows: Array) -> SeriesColumn:
    return SeriesColumn(column.name, column.kind, column.values[rows], column.form)


def _select_labels(table: pd.DataFrame, name: str, read: dict[str, SeriesColumn]) -> Array | pd.Series:
    known = read.get(name)
    return known.values if known is not None and known.kind == "numeric" else select_column(table, name)


def _check_names(table: pd.DataFrame, targets: list[str], spec: DataSpec, series: SeriesSpec) -> None:
    columns = [str(name) for name in table.columns]
    named = [("data.series.time", series.time), ("data.series.by", series.by)]
    named += [("data.series.known", name) for name in series.known] + [("data.target", name) for name in targets]
    for key, name in named:
        if name is not None and name not in columns:
            raise InputError(Problem(f'there is no column "{name}"; {suggest_choice(name, columns)}', key))
        if name in spec.drop:
            raise InputError(Problem(f'column "{name}" is {key} too; remove it here', "data.drop"))
        if key != "data.target" and name in targets:
            raise InputError(Problem(f'column "{name}" is the target; remove it here', key))
    if series.by is not None and series.by in (series.time, *series.known):
        raise InputError(
            Problem(f'column "{series.by}" has another part in data.series; name another', "data.series.by")
        )
    if not targets:
        raise InputError(Problem(f"name the column to predict; the columns are {', '.join(columns)}", "data.target"))


def _read_time(table: pd.DataFrame, raw: RawData, spec: DataSpec, series: SeriesSpec) -> SeriesColumn:
    cells = select_column(table, series.time)
    found = read_column(cells, series.time, raw, spec)
    if found.kind not in ("numeric", "date"):
        example = next((str(value) for value in cells if str(value).strip()), "")
        message = f'expected dates or numbers, but column "{series.time}" is {found.kind}, such as {example!r}'
        raise InputError(Problem(message, "data.series.time"))
    missing = np.flatnonzero(~np.isfinite(found.values))
    if len(missing):
        message = f'column "{series.time}" has no value at {raw.format_places(missing)}; correct or remove these rows'
        raise InputError(Problem(message, "data.series.time"))
    if series.time in series.known and found.kind == "numeric":
        message = f'column "{series.time}" holds numbers, which have no place in a year or week; remove it here'
        raise InputError(Problem(message, "data.series.known"))
    return SeriesColumn(series.time, found.kind, found.values, found.form)


def _read_by(table: pd.DataFrame, name: str, raw: RawData, spec: DataSpec) -> SeriesColumn:
    # Whatever it looks like, such as numbers of shops.
    chosen = spec.columns.get(name, ColumnSpec()).model_copy(update={"type": "string"})
    spec = spec.model_copy(update={"columns": {**spec.columns, name: chosen}})
    found = read_column(select_column(table, name), name, raw, spec)
    return SeriesColumn(name, "string", found.values, found.form)


def _number_series(raw: RawData, by: SeriesColumn | None) -> Array:
    part = np.unique(raw.given, return_inverse=True)[1]
    names = pd.Series("" if by is None else by.values, index=range(raw.rows)).astype(str)
    numbers: Array = pd.factorize(names + "\0" + pd.Series(part).astype(str))[0]
    return numbers


def _check_times(times: Array, group: Array, order: Array, raw: RawData, series: SeriesSpec) -> None:
    twice = (np.diff(times[order]) == 0) & (np.diff(group[order]) == 0)
    if not twice.any():
        return
    first = int(twice.argmax())
    places = f"{raw.format_place(int(order[first]))} and {raw.format_place(int(order[first + 1]))}"
    # In autumn a local clock has one hour twice.
    is_hour = bool(np.mod(times[order[first]], 1) != 0) and int(twice.sum()) * 100 < len(times)
    clock = "; where a clock was set back, write the times in UTC" if is_hour else ""
    advice = f"name the column that distinguishes series{clock}"
    if series.by is not None:
        advice = f"remove one{clock}"
    count = int(twice.sum())
    more = f" ({count} such pairs)" if count > 1 else ""
    message = f'two rows of a series have the same "{series.time}", at {places}{more}; {advice}'
    raise InputError(Problem(message, "data.series.by" if series.by is None else "data.series.time"))


def _read_channels(
    table: pd.DataFrame, targets: list[str], raw: RawData, spec: DataSpec, series: SeriesSpec
) -> tuple[list[SeriesColumn], list[str]]:
    """Return the columns that windows hold, and notes; all problems of columns are reported at once."""
    others = find_source_marks(raw, spec)
    columns, notes, problems = list[SeriesColumn](), list[str](), list[Problem]()
    for name in map(str, table.columns):
        # Without a horizon a window's target is at its last row, where nobody knows it yet.
        if name in (series.time, series.by, *spec.drop) or (name in targets and not series.horizon):
            continue
        try:
            found = read_column(select_column(table, name), name, raw, spec, others)
        except InputError as error:
            problems += error.problems
            continue
        if found.kind in CHANNEL_KINDS:
            columns.append(SeriesColumn(name, found.kind, found.values, found.form))
            notes += found.notes if name not in targets else ()
        elif name not in targets:
            problems.append(_explain_kind(name, found))
    if problems:
        raise InputError(problems)
    return columns, [*notes, *_list_gaps(columns, targets)]


def _explain_kind(name: str, found: ColumnReading) -> Problem:
    kind = {"text": "text", "image": "pictures"}.get(found.kind, "lists")
    advice = "name it in data.drop"
    if found.kind == "text":
        advice += f", or set data.columns.{name}.type: string if its values are categories"
    message = f'windows hold numbers, Booleans, dates and categories, but column "{name}" holds {kind}; {advice}'
    return Problem(message, "data.series")


def _list_gaps(columns: list[SeriesColumn], targets: list[str]) -> Iterator[str]:
    for column in columns:
        missing = int((column.values == "").sum()) if column.is_words else int((~np.isfinite(column.values)).sum())
        if missing and column.name not in targets:
            filled = "no category" if column.is_words else "no date" if column.kind == "date" else "its mean"
            share = missing / len(column.values)
            yield f'column "{column.name}" has no value in {missing} rows ({share:.1%}): windows hold {filled} there'
