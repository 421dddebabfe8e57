"""Labels of a multi-label task: several columns of 0 and 1, or one column of lists.

A cell of lists is a list of a typed source, or text with its labels between `|`, `;` or `,`. A missing cell has no
label.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.raw import RawData
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem

MARKS = ("|", ";", ",")
MOST_LABELS = 1_000  # chosen: the output layer has a unit for each
_WORDS = {"1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0, "true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


def is_multi_label(labels: pd.DataFrame, spec: DataSpec) -> bool:
    """Return whether targets have several labels a row: as declared, or by several named columns of 0 and 1 alone."""
    if spec.task != "auto":
        return spec.task == "multi_label"
    if not isinstance(spec.target, list) or labels.shape[1] < 2:
        return False
    return all(_read_flags(labels[name]) is not None for name in labels.columns)


def read_multi_label(labels: pd.DataFrame, raw: RawData, spec: DataSpec) -> tuple[tuple[str, ...], Array]:
    """Return the names of the labels, and 0 or 1 for each row and label, float32 [row, label].

    Raises:
        InputError: if a cell is neither, or a label is in no row or in all.
    """
    if labels.shape[1] == 1:
        names, y = _read_lists(labels.iloc[:, 0], raw, spec)
    else:
        names = tuple(str(name) for name in labels.columns)
        y = np.stack([_read_column(labels[name], str(name), raw) for name in labels.columns], axis=1)
    share = y.mean(axis=0)
    constant = np.flatnonzero((share == 0) | (share == 1))
    if len(constant):
        every = "every row" if share[constant[0]] else "no row"
        message = f'the label "{names[constant[0]]}" is in {every}; there is nothing to learn, so remove it'
        raise InputError(Problem(message, "data.target"))
    return names, y.astype(np.float32)


def is_flags(cells: pd.Series) -> bool:
    """Return whether all cells are 0 or 1, or words for these."""
    return _read_flags(cells) is not None


def _read_flags(cells: pd.Series) -> Array | None:
    """Return 0 or 1 [row], or None where a cell is something else."""
    words = cells.astype(object).map(lambda cell: str(cell).strip().lower())
    found = words.map(_WORDS)
    return None if found.isna().any() else found.to_numpy(dtype=np.float64)


def _read_column(cells: pd.Series, name: str, raw: RawData) -> Array:
    flags = _read_flags(cells)
    if flags is not None:
        return flags
    words = cells.astype(object).map(lambda cell: str(cell).strip().lower())
    row = int(np.flatnonzero(~words.isin(_WORDS))[0])
    message = f'expected 0 or 1 for the label "{name}", got {cells.iloc[row]!r} at {raw.format_place(row)}'
    raise InputError(Problem(message, "data.target"))


def _read_lists(cells: pd.Series, raw: RawData, spec: DataSpec) -> tuple[tuple[str, ...], Array]:
    missing = {"", *spec.missing_values}
    used = set().union(*(cell for cell in cells if isinstance(cell, str)))
    mark = next((each for each in MARKS if each in used), None)
    rows = [_split(cell, mark, missing) for cell in cells]
    names = sorted({label for row in rows for label in row})
    if len(names) < 2 or len(names) > MOST_LABELS:
        example = next((str(cell) for cell in cells if str(cell).strip()), "")
        message = (
            f"expected 2 to {MOST_LABELS} labels between {', '.join(MARKS)}, got {len(names)}, such as {example!r}"
        )
        raise InputError(Problem(message, "data.target"))
    places = {name: index for index, name in enumerate(names)}
    y = np.zeros((len(rows), len(names)))
    for number, row in enumerate(rows):
        y[number, [places[label] for label in row]] = 1
    return tuple(names), y


def _split(cell: Any, mark: str | None, missing: set[str]) -> set[str]:
    if isinstance(cell, list | tuple | np.ndarray):
        return {str(each).strip() for each in cell}
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return set()
    return {part.strip() for part in str(cell).split(mark)} - missing
