"""Cells of a column as clean text."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.source_types import convert_to_text
from pipelines.spec.data_spec import DataSpec
from tracking.mlflow.cell_values import MISSING_WORDS, CellForm, clean_word


def clean_text(series: pd.Series, spec: DataSpec, *, is_target: bool = False) -> pd.Series:
    """Return a column's cells as text without whitespace around, missing ones as "", others after their replacement."""
    is_typed = isinstance(series.dtype, pd.StringDtype)
    if not is_typed and (pd.api.types.infer_dtype(series, skipna=False) != "string" or series.dtype != object):
        series = series.astype(object).map(convert_to_text)
    form = find_cell_rules(str(series.name), spec, is_target=is_target)
    # Distinct cells are few in most columns: clean each once. The code -1 of a missing one finds the last.
    codes, words = pd.factorize(series)
    clean = np.array([*(clean_word(str(word), form) for word in words), ""], dtype=object)
    return pd.Series(clean[codes], dtype=object, name=series.name)


def find_cell_rules(name: str, spec: DataSpec, *, is_target: bool = False) -> CellForm:
    """Return the missing words and the replacements of a column."""
    chosen = spec.columns.get(name)
    replaced = tuple((before.strip(), after.strip()) for before, after in (chosen.replace if chosen else {}).items())
    return CellForm(missing=spec.list_missing_words(name, is_target=is_target), replaced=replaced)


def mark_missing_words(cells: pd.Series) -> Array:
    """Return per cell whether it is empty or a word such as NA that means missing among numbers."""
    return (cells.eq("") | cells.str.lower().isin(MISSING_WORDS)).to_numpy(dtype=bool)
