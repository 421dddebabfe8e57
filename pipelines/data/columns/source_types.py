"""Types of columns whose source has types: Parquet, DataFrames, sheets."""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.raw import RawData
from search_spaces.errors import InputError, Problem
from tracking.mlflow.cell_values import MISSING_WORDS, count_days, count_seconds, decode_bytes

ColumnKind = Literal["numeric", "boolean", "string", "date", "text", "image", "number_list", "word_list"]


def find_source_kind(series: pd.Series, name: str, raw: RawData, missing: Sequence[str] = ()) -> ColumnKind | None:
    """Return the type of a typed column; None if all values are missing, or times of day, which are read as text.

    Words that mean "missing", as in the text of a CSV, are none of its values; `missing` are further ones.

    Raises:
        InputError: if its values are of several types, or of one that is of no use.
    """
    types = pd.api.types
    tests: list[tuple[ColumnKind, bool]] = [
        ("string", isinstance(series.dtype, (pd.CategoricalDtype, pd.StringDtype))),
        # Before numbers: pandas counts Booleans among them.
        ("boolean", types.is_bool_dtype(series.dtype)),
        ("numeric", types.is_numeric_dtype(series.dtype) and not types.is_complex_dtype(series.dtype)),
        ("date", types.is_datetime64_any_dtype(series.dtype)),
        ("numeric", types.is_timedelta64_dtype(series.dtype)),
    ]
    for kind, fits in tests:
        if fits:
            return kind
    known = series[~mark_missing_cells(series, missing)]
    if known.empty:
        known = series[series.notna()]
    kinds = known.map(_find_python_kind)
    if kinds.empty or kinds.eq("time").all():
        return None
    if kinds.nunique() > 1:
        index, other = known.index[0], kinds[kinds != kinds.iloc[0]].index[0]
        message = (
            f'column "{name}" mixes types: {known[index]!r} ({kinds[index]}, {_locate_row(raw, index)}) and '
            f"{known[other]!r} ({kinds[other]}, {_locate_row(raw, other)}); correct them, name words that mean "
            f'"missing" in data.missing_values, or set data.columns.{name}.type'
        )
        raise InputError(Problem(message, "data.source"))
    for kind, _ in tests:
        if kind == kinds.iloc[0]:
            return kind
    raise InputError(Problem(_explain_type(name, kinds.iloc[0]), "data.source"))


def mark_missing_cells(series: pd.Series, missing: Sequence[str] = ()) -> Array:
    """Return whether each cell of a typed column is missing, or a word that means so, bool [row]."""
    if series.dtype != object:
        return series.isna().to_numpy(dtype=bool)

    def is_word(cell: object) -> bool:
        return isinstance(cell, str) and (cell.strip().lower() in ("", *MISSING_WORDS) or cell.strip() in missing)

    return (series.isna() | series.map(is_word)).to_numpy(dtype=bool)


def _explain_type(name: str, kind: str) -> str:
    expected = "expected numbers, booleans, strings, dates, times or lists"
    advice = "name it in data.drop, or return it as one of these from a loader (loader.py:function)"
    return f'column "{name}" holds values of type {kind}; {expected}; {advice}'


def convert_values(series: pd.Series, kind: ColumnKind) -> Array:
    """Return typed values as float64 [row], NaN for missing; infinities stay."""
    if kind == "date":
        return count_days(pd.Series(pd.to_datetime(series, utc=True)))  # type: ignore[no-any-return]
    if pd.api.types.is_timedelta64_dtype(series.dtype):
        return count_seconds(series)  # type: ignore[no-any-return]
    # By pandas' nullable type, whose missing value NumPy cannot convert by itself.
    return pd.to_numeric(series, errors="coerce").astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)


def convert_to_text(value: object) -> str:
    """Return a typed value as text; "" for a missing one."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, bytes):
        return decode_bytes(value) or ""
    # pandas stores whole numbers with gaps as floats: a category 3 must not become 3.0.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _locate_row(raw: RawData, index: object) -> str:
    return raw.format_place(int(str(index)))


def _find_python_kind(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "boolean"
    # Parquet has decimals, and a Decimal is no numbers.Real.
    if isinstance(value, (numbers.Real, np.number)) or type(value).__name__ == "Decimal":
        return "numeric"
    if isinstance(value, (datetime.date, np.datetime64)):
        return "date"
    is_text = isinstance(value, str) or (isinstance(value, bytes) and decode_bytes(value) is not None)
    return "string" if is_text else type(value).__name__
