"""Feature columns of a table and their types: numbers, booleans, strings, text or dates.

If the source has types, a column's type is that of its values; for text (a CSV) it is inferred:

* the empty field and `data.missing_values` are missing; the words NA, N/A, NaN, null and None are missing in a
  column of numbers, booleans or dates, and categories like any other among strings;
* all true/false: boolean; all numbers: numeric; all ISO dates (2024-05-01, with or without a time): date;
* one in ten or more numbers (or dates) among other words is an error: the column holds either numbers with a mistake
  or codes, and only the user can decide;
* sentences: text (see `text_columns`); everything else: string.

Values have the form of the exported model's inputs: float64 with NaN for missing (dates as days since 1970-01-01 UTC,
infinity and what exceeds float32 as missing), or text with "" for missing.
"""

from __future__ import annotations

import datetime
import keyword
import numbers
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.prepared import RawColumn
from pipelines.data.raw import RawData
from pipelines.data.tabular_files import select_column
from pipelines.data.text_columns import is_text
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem, suggest_choice

ColumnKind = Literal["numeric", "boolean", "string", "date", "text"]
MISSING_WORDS = frozenset({"na", "n/a", "nan", "null", "none", "<na>"})
MIXED_FROM = 0.1
_ISO_DATE = r"\d{4}[-/]\d{2}[-/]\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
# Such as 1.234,5: as text, numbers would become categories without a word.
_COMMA_NUMBER = r"[-+]?\d[\d.]*(?:,\d+)*,\d+(?:\.\d*)?|[-+]?\d[\d.]*"
_BOOLEANS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}


@dataclass(frozen=True)
class Column:
    """One feature column.

    Attributes:
        name: the column's name in the source.
        input: its name in the exported model.
        header: its name as the file has it, with blanks around; empty where it has none.
        values: float64 [row] with NaN for missing, or text [row] (dtype object) with "" for missing.
    """

    name: str
    input: str
    kind: ColumnKind
    values: Array
    header: str = ""

    @property
    def raw(self) -> RawColumn:
        """Return the column as the exported model's input."""
        if self.is_words:
            return RawColumn(self.input, "string", (), "string", self.name, self.header)
        return RawColumn(self.input, self.kind, (), "float32", self.name, self.header)

    @property
    def is_words(self) -> bool:
        """Whether the values are strings, a category or a sentence each."""
        return self.kind in ("string", "text")


def read_columns(table: pd.DataFrame, raw: RawData, spec: DataSpec) -> tuple[list[Column], list[str]]:
    """Return the feature columns, and notes on columns left out.

    Args:
        table: the feature columns only, without target and split column.
        raw: the rows: whether cells are text, and the place of each row.
        spec: the study file's `data`.

    Raises:
        InputError: with all problems found: unknown names, mixed types, values that do not fit the declared type.
    """
    problems = list(_find_unknown_names(table, spec))
    kept = [str(name) for name in table.columns if name not in spec.drop]
    inputs = make_input_names(kept)
    columns, notes = [], []
    for name in kept:
        try:
            kind, values = read_values(select_column(table, name), name, raw, spec)
        except InputError as error:
            # Go on with the other columns: all problems are reported at once.
            problems += error.problems
            continue
        chosen = spec.columns.get(name)
        if chosen is not None and chosen.encoding is not None and kind != "string":
            message = f"an encoding is for strings, but the column is {kind}; set type: string, or remove this key"
            problems.append(Problem(message, f"data.columns.{name}.encoding"))
        is_words = kind in ("string", "text")
        for setting in ("length", "vocabulary"):
            if chosen is not None and getattr(chosen, setting) is not None and kind != "text":
                message = f"this setting is for text, but the column is {kind}; set type: text, or remove this key"
                problems.append(Problem(message, f"data.columns.{name}.{setting}"))
        if kind == "text" and (chosen is None or chosen.type is None):
            notes.append(
                f'column "{name}" holds sentences and is read word by word; if its values are categories, set '
                f"data.columns.{name}.type: string"
            )
        known = values != "" if is_words else np.isfinite(values)
        if not known.any():
            notes.append(f'column "{name}" is left out: it has no value in any row')
        else:
            columns.append(Column(name, inputs[name], kind, values, raw.headers.get(name, "")))
    if problems:
        raise InputError(problems)
    if not columns:
        raise InputError(Problem("there is no feature column; the table holds only the target", "data.source"))
    return columns, notes


def read_values(series: pd.Series, name: str, raw: RawData, spec: DataSpec) -> tuple[ColumnKind, Array]:
    """Return one column's type and values.

    Raises:
        InputError: for mixed types, and values that do not fit the declared type.
    """
    chosen = spec.columns.get(name)
    declared = chosen.type if chosen else None
    key = f"data.columns.{name}" if chosen else "data.source"
    found = None if raw.text else _find_source_kind(series, name, raw)
    if found is not None and found != "string" and declared in (None, found):
        return found, _convert_values(series, found)
    cells = clean_text(series, spec)
    kind = declared or ("string" if found == "string" else _infer_kind(cells, name, raw))
    if kind in ("string", "text"):
        values = cells.to_numpy(dtype=object)
        # An encoding is for categories: who sets one has decided.
        free = declared is None and (chosen is None or chosen.encoding is None)
        return "text" if kind == "text" or (free and is_text(values)) else "string", values
    return kind, _parse_text(cells, kind, name, raw, key)


def clean_text(series: pd.Series, spec: DataSpec) -> pd.Series:
    """Return the cells as text without whitespace around, missing ones as ""."""
    if pd.api.types.infer_dtype(series, skipna=False) != "string" or series.dtype != object:
        series = series.astype(object).map(_convert_to_text)
    # Distinct cells are few in most columns: strip each once.
    codes, words = pd.factorize(series)
    missing = {"", *(word.strip() for word in spec.missing_values)}
    clean = np.array(["" if word.strip() in missing else word.strip() for word in words], dtype=object)
    return pd.Series(clean[codes], dtype=object)


def mark_missing_words(cells: pd.Series) -> Array:
    """Return per cell whether it is empty or a word such as NA that means missing among numbers."""
    return (cells.eq("") | cells.str.lower().isin(MISSING_WORDS)).to_numpy(dtype=bool)


def make_input_names(columns: list[str]) -> dict[str, str]:
    """Return each column's name in the exported model.

    TensorFlow's signatures accept letters, digits and underscores after a first letter, ignore case, and refuse
    `self` and Python's keywords; Keras refuses slashes.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    # Plain names first: they stay as they are, whatever a cleaned name turns into.
    for column in sorted(columns, key=lambda name: (not _is_plain(name), columns.index(name))):
        plain = column if _is_plain(column) else re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", column)).strip("_")
        if not plain or not plain[0].isalpha() or _is_reserved(plain):
            plain = f"column_{plain}" if plain else "column"
        name, count = plain, 2
        # By lower case: TensorFlow's signatures do not distinguish the case.
        while name.lower() in taken:
            name, count = f"{plain}_{count}", count + 1
        taken.add(name.lower())
        names[column] = name
    return names


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None and not _is_reserved(name)


def _is_reserved(name: str) -> bool:
    # The inputs of a signature are parameters of a Python function.
    return name == "self" or keyword.iskeyword(name)


def _find_unknown_names(table: pd.DataFrame, spec: DataSpec) -> Iterator[Problem]:
    known = [str(name) for name in table.columns]
    for name in spec.drop:
        if name not in known:
            yield Problem(f'there is no feature column "{name}"; {suggest_choice(name, known)}', "data.drop")
    for name in spec.columns:
        key = f"data.columns.{name}"
        if name not in known:
            yield Problem(f'there is no feature column "{name}"; {suggest_choice(name, known)}', key)
        elif name in spec.drop:
            yield Problem(f'column "{name}" has settings here and is left out by data.drop; remove one of the two', key)


def _find_source_kind(series: pd.Series, name: str, raw: RawData) -> ColumnKind | None:
    """Return the type of a typed column; None if all values are missing."""
    types = pd.api.types
    tests: list[tuple[ColumnKind, bool]] = [
        ("string", isinstance(series.dtype, (pd.CategoricalDtype, pd.StringDtype))),
        # Before numbers: pandas counts Booleans among them.
        ("boolean", types.is_bool_dtype(series.dtype)),
        ("numeric", types.is_numeric_dtype(series.dtype) and not types.is_complex_dtype(series.dtype)),
        ("date", types.is_datetime64_any_dtype(series.dtype)),
    ]
    for kind, fits in tests:
        if fits:
            return kind
    known = series[series.notna()]
    kinds = known.map(_find_python_kind)
    if kinds.empty:
        return None
    if kinds.nunique() > 1:
        index, other = known.index[0], kinds[kinds != kinds.iloc[0]].index[0]
        message = (
            f'column "{name}" mixes types: {known[index]!r} ({kinds[index]}, {_locate_row(raw, index)}) and '
            f"{known[other]!r} ({kinds[other]}, {_locate_row(raw, other)}); set data.columns.{name}.type"
        )
        raise InputError(Problem(message, "data.source"))
    for kind, _ in tests:
        if kind == kinds.iloc[0]:
            return kind
    message = f'column "{name}" holds values of type {kinds.iloc[0]}; expected numbers, booleans, strings or dates'
    raise InputError(Problem(message, "data.source"))


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
    return "string" if isinstance(value, str) else type(value).__name__


def _convert_to_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    # pandas stores whole numbers with gaps as floats: a category 3 must not become 3.0.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _convert_values(series: pd.Series, kind: ColumnKind) -> Array:
    if kind == "date":
        return _count_days(pd.Series(pd.to_datetime(series, utc=True)))
    # By pandas' nullable type, whose missing value NumPy cannot convert by itself.
    values = pd.to_numeric(series, errors="coerce").astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    return _drop_unrepresentable(values)


def _infer_kind(cells: pd.Series, name: str, raw: RawData) -> ColumnKind:
    known = cells[~mark_missing_words(cells)]
    if known.empty:
        return "numeric"
    if known.str.lower().isin({"true", "false"}).all():
        return "boolean"
    for kind, fits in (
        ("numeric", _mark_numbers(known)),
        ("date", known.str.fullmatch(_ISO_DATE).to_numpy(dtype=bool)),
    ):
        if fits.all():
            return kind  # type: ignore[return-value]
        if fits.mean() >= MIXED_FROM:
            raise InputError(_explain_mixed_types(known, fits, kind, name, raw))
    if known.str.fullmatch(_COMMA_NUMBER).all():
        example = f"{known.iloc[0]!r} at {_locate_row(raw, known.index[0])}"
        message = (
            f'column "{name}" holds numbers with a comma, such as {example}; write 1234.5, or set its type to string'
        )
        raise InputError(Problem(message, "data.source"))
    return "string"


def _mark_numbers(cells: pd.Series) -> Array:
    return pd.to_numeric(cells, errors="coerce").notna().to_numpy(dtype=bool)


def _explain_mixed_types(known: pd.Series, fits: Array, kind: str, name: str, raw: RawData) -> Problem:
    word = {"numeric": "number", "date": "date"}[kind]
    good, bad = known[fits], known[~fits]
    good_place, bad_place = _locate_row(raw, good.index[0]), _locate_row(raw, bad.index[0])
    return Problem(
        f'column "{name}" mixes types: {good.iloc[0]!r} at {good_place} is a {word}, '
        f"{bad.iloc[0]!r} at {bad_place} is not ({len(bad)} of {len(known)} values are no {word}s, at "
        f"{raw.format_places(bad.index)}); correct them, name them in data.missing_values, or set "
        f"data.columns.{name}.type to string",
        "data.source",
    )


def _parse_text(cells: pd.Series, kind: ColumnKind, name: str, raw: RawData, key: str) -> Array:
    """Return text as the declared or inferred type, float64 with NaN for missing."""
    missing = mark_missing_words(cells)
    # "nan" becomes NaN below, as a number and as a Boolean.
    filled = cells.where(~missing, "nan")
    if kind == "boolean":
        values = filled.str.lower().map(_BOOLEANS).to_numpy(dtype=np.float64)
    elif kind == "date":
        dates = filled.where(~missing, None).str.replace("/", "-")
        values = _count_days(pd.to_datetime(dates, utc=True, format="ISO8601", errors="coerce"))
    else:
        values = pd.to_numeric(filled, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(np.isnan(values) & ~missing)
    if len(bad):
        example = cells.iloc[bad[0]]
        wanted = {"boolean": "true or false", "date": "a date such as 2024-05-01", "numeric": "a number"}[kind]
        message = f'column "{name}": expected {wanted}, got {example!r} at {raw.format_place(int(bad[0]))}'
        more = f" ({len(bad)} such values, at {raw.format_places(bad)})" if len(bad) > 1 else ""
        raise InputError(Problem(message + more, f"{key}.type" if key != "data.source" else key))
    return _drop_unrepresentable(values)


def _drop_unrepresentable(values: Array) -> Array:
    """Return the values with NaN for those that the exported model's float32 cannot hold."""
    fits = np.abs(values) <= np.finfo(np.float32).max
    return np.where(fits, values, np.nan)


def _count_days(dates: pd.Series) -> Array:
    since = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    return since.to_numpy(dtype=np.float64)
