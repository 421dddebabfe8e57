"""Further rows of a column whose type and form are known from its first rows."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from pipelines.data.columns.cell_text import clean_text, find_cell_rules
from pipelines.data.columns.column_reading import ColumnReading, finish_numbers, parse_cells
from pipelines.data.columns.list_columns import read_further_lists
from pipelines.data.columns.source_types import convert_values, find_source_kind, mark_missing_cells
from pipelines.data.columns.text_types import TextType
from pipelines.data.raw import RawData
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem


def read_further_rows(
    series: pd.Series, name: str, raw: RawData, spec: DataSpec, first: ColumnReading
) -> ColumnReading:
    """Return the reading of further rows, as `column_reading.read_column` would read them with the first ones.

    Args:
        series: their cells.
        name: the column's name.
        raw: the rows: whether cells are text, and the place of each.
        spec: the study file's `data`.
        first: the reading of the first rows.

    Raises:
        InputError: if a value is not of that type and form.
    """
    series = series.rename(name)
    rules = find_cell_rules(name, spec)
    if first.kind in ("number_list", "word_list"):
        length = first.values.shape[1] if first.kind == "number_list" else None
        return replace(first, values=read_further_lists(series, name, raw, rules, first.form, length))
    if first.kind in ("string", "text"):
        return replace(first, values=clean_text(series, spec).to_numpy(dtype=object))
    found = None if raw.text else find_source_kind(series, name, raw, rules.missing)
    # A number whose settings make a date of it is read as text.
    is_dressed = bool(first.form.unit or first.form.date_format)
    if found is not None and found != "string" and not is_dressed:
        if found != first.kind:
            message = f'column "{name}" is {first.kind} in its first rows, and {found} from {raw.format_place(0)} on'
            raise InputError(Problem(f"{message}; set data.columns.{name}.type", "data.source"))
        known = series.mask(mark_missing_cells(series, rules.missing))
        return finish_numbers(convert_values(known, found), found, rules, spec, first.why)
    values = parse_cells(clean_text(series, spec), TextType(first.kind, first.form), name, raw, spec)
    return finish_numbers(values, first.kind, first.form, spec, first.why)
