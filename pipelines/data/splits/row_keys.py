"""Order and groups of rows, which a split goes by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import clean_text, read_values
from pipelines.data.raw import RawData, select_column
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem, suggest_choice


@dataclass(frozen=True)
class RowKeys:
    """Order and group of each row.

    Attributes:
        periods: [row] position of the row's value among the distinct values of `data.split.order`; None without it.
        groups: [row] number of the row's group; None without `data.split.group`.
        reaches: [row] the last position whose values are in the row's target; None where that is the row's own.
    """

    periods: Array | None = None
    groups: Array | None = None
    reaches: Array | None = None


def read_row_keys(raw: RawData, spec: DataSpec) -> RowKeys:
    """Return what `data.split.order` and `data.split.group` name.

    Raises:
        InputError: if there is no such column, or a row has no value in it.
    """
    if raw.windows is not None:
        return RowKeys(periods=raw.windows.periods, reaches=raw.windows.reaches)
    order, group = spec.split.order, spec.split.group
    return RowKeys(
        None if order is None else _read_periods(_find_column(order, "order", raw), order, raw, spec),
        None if group is None else _read_groups(_find_column(group, "group", raw), group, raw, spec),
    )


def _find_column(name: str, setting: str, raw: RawData) -> pd.Series:
    key = f"data.split.{setting}"
    if raw.table is None:
        raise InputError(Problem("this source has no columns; remove this key", key))
    columns = [str(column) for column in raw.table.columns]
    if name not in columns:
        raise InputError(Problem(f'there is no column "{name}"; {suggest_choice(name, columns)}', key))
    return select_column(raw.table, name)


def _read_periods(series: pd.Series, name: str, raw: RawData, spec: DataSpec) -> Array:
    kind, values = read_values(series, name, raw, spec)
    if kind not in ("numeric", "date"):
        example = next(str(value) for value in series if str(value).strip())
        message = f'expected numbers or dates to order the rows by, but column "{name}" is {kind}, such as {example!r}'
        raise InputError(Problem(message, "data.split.order"))
    _check_known(np.isfinite(values), name, "order", raw)
    return np.unique(values, return_inverse=True)[1]


def _read_groups(series: pd.Series, name: str, raw: RawData, spec: DataSpec) -> Array:
    words = clean_text(series, spec)
    _check_known((words != "").to_numpy(dtype=bool), name, "group", raw)
    # In order of appearance, as the numbers alone decide the split.
    return np.asarray(pd.factorize(words)[0], dtype=np.int64)


def _check_known(known: Array, name: str, setting: str, raw: RawData) -> None:
    missing = np.flatnonzero(~known)
    if len(missing):
        count = "1 row" if len(missing) == 1 else f"{len(missing)} rows"
        message = f'column "{name}" has no value in {count}, at {raw.format_places(missing)}'
        raise InputError(Problem(message, f"data.split.{setting}"))
