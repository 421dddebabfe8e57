"""Targets of a table larger than memory: their cells in files, then the label of every row.

A target of few distinct cells is decided by these alone, repeated as often as they occur in proportion. A target of
more is one of numbers, whose kind the first rows decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.cell_text import clean_text, mark_missing_words
from pipelines.data.columns.columns import find_source_marks
from pipelines.data.columns.text_types import ReadingRules, find_target_form
from pipelines.data.raw import Origin, RawData, select_column
from pipelines.data.scratch import Scratch, iterate_chunks
from pipelines.data.streaming.column_files import NumberFile, StoredRows, WordFile, Words
from pipelines.data.targets.heads import infer_tasks
from pipelines.data.targets.labels import Labels, read_labels
from pipelines.data.targets.target_cells import read_target_cells
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem
from tracking.mlflow.cell_values import CellForm, read_words

MOST_DISTINCT = 20_000
"""Distinct cells of a target up to which these decide; twice the classes that a target may have."""
_MOST_REPEATED = 200_000
_FEWEST = 5  # repeats of a cell, below which it would be no class number
_NO_NUMBER = "is missing or not finite"


class TargetFiles:
    """The cells of the target columns, which are added piece by piece."""

    def __init__(self, folder: Path, first: pd.DataFrame, is_text: bool, spec: DataSpec) -> None:
        self._spec = spec
        self._files: dict[str, NumberFile | WordFile] = {}
        for index, name in enumerate(map(str, first.columns)):
            path = folder / f"target-{index}"
            self._files[name] = NumberFile(path, np.float64) if _is_number(first[name], is_text) else WordFile(path)

    def add(self, targets: pd.DataFrame, piece: RawData) -> None:
        """Add the rows of a piece.

        Raises:
            InputError: if a column has another type than in the first rows, or holds lists.
        """
        for name, file in self._files.items():
            series = select_column(targets, name).reset_index(drop=True)
            if isinstance(file, NumberFile) != _is_number(series, piece.text):
                message = f'the target "{name}" has another type from {piece.format_place(0)} on; give all files one'
                raise InputError(Problem(message, "data.target"))
            if isinstance(file, NumberFile):
                cells = read_target_cells(series, piece, self._spec)
                file.add(cells.numbers if cells.numbers is not None else np.full(len(series), np.nan))
                continue
            if not piece.text and series.map(lambda cell: isinstance(cell, (list, np.ndarray))).any():
                message = (
                    f'the target "{name}" holds lists, which are not streamed; write them as text such as red|blue'
                )
                raise InputError(Problem(message, "data.target"))
            file.add(clean_text(series.rename(name), self._spec, is_target=True).to_numpy(dtype=object))

    def abandon(self) -> None:
        """Close the files, whose rows are not needed."""
        for file in self._files.values():
            file.abandon()

    def close(self) -> dict[str, Array | Words]:
        """Return the cells of all rows."""
        return {name: file.close() for name, file in self._files.items()}


def read_stored_labels(
    stored: StoredRows, first: pd.DataFrame, raw: RawData, spec: DataSpec, scratch: Scratch
) -> Labels:
    """Return the label of every row, in a file.

    Args:
        stored: all rows.
        first: the targets of the first rows.
        raw: the first rows.
        spec: the study file's `data`.
        scratch: makes arrays.

    Raises:
        InputError: as `labels.read_labels` does.
    """
    _refuse_heads(first, raw, spec)
    counts = _count_cells(stored)
    if counts is None:
        return _read_numbers(stored, first, raw, spec, scratch)
    _check_known(counts, list(stored.targets), stored)
    few, keys = _repeat_cells(counts, stored, raw)
    labels = read_labels(few, _describe_cells(keys, counts, raw), spec)
    rows: dict[tuple[Any, ...], Array] = dict(zip(keys, labels.y, strict=True))
    y = scratch.make((stored.rows, *labels.y.shape[1:]), labels.y.dtype)
    for start, cells in _iterate_cells(stored):
        y[start : start + len(cells)] = np.stack([rows[key] for key in cells])
    return replace(labels, y=y)


def _refuse_heads(first: pd.DataFrame, raw: RawData, spec: DataSpec) -> None:
    """Refuse several targets that have a task each by the first rows.

    Raises:
        InputError: if they do.
    """
    if tasks := infer_tasks(first, raw, spec):
        shown = ", ".join(f'"{name}" {kind}' for name, kind in tasks.items())
        message = (
            f"several targets with a task each are not streamed ({shown}); set data.streaming: false, name one target, "
            "or set data.task: multi_output_regression where all are numbers"
        )
        raise InputError(Problem(message, "data.target"))


def _is_number(series: pd.Series, is_text: bool) -> bool:
    types = pd.api.types
    return not is_text and types.is_numeric_dtype(series.dtype) and not types.is_bool_dtype(series.dtype)


@dataclass(frozen=True)
class _Cell:
    """A combination of the target columns' cells: how often it occurs, and first in which row."""

    count: int
    row: int


def _iterate_cells(stored: StoredRows) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """Yield the combinations of cells of some rows at a time, None for a number that is not there."""
    for start, stop in iterate_chunks(stored.rows, 8 * len(stored.targets)):
        columns = []
        for values in stored.targets.values():
            cells = values[start:stop]
            if cells.dtype.kind == "f":
                missing, cells = ~np.isfinite(cells), cells.astype(object)
                cells[missing] = None
            columns.append(cells.tolist())
        yield start, list(zip(*columns, strict=True))


def _count_cells(stored: StoredRows) -> dict[tuple[Any, ...], _Cell] | None:
    """Return the distinct combinations of cells; None where there are too many."""
    found: dict[tuple[Any, ...], _Cell] = {}
    for start, cells in _iterate_cells(stored):
        codes, distinct = pd.factorize(np.fromiter(cells, dtype=object, count=len(cells)))
        firsts = np.full(len(distinct), len(cells))
        np.minimum.at(firsts, codes, np.arange(len(cells)))
        for key, count, row in zip(distinct, np.bincount(codes).tolist(), firsts.tolist(), strict=True):
            before = found.get(key)
            found[key] = _Cell(count, start + row) if before is None else _Cell(before.count + count, before.row)
        if len(found) > MOST_DISTINCT:
            return None
    return found


def _check_known(counts: dict[tuple[Any, ...], _Cell], names: list[str], stored: StoredRows) -> None:
    for index, name in enumerate(names):
        lacking = [cell for key, cell in counts.items() if key[index] in (None, "")]
        if not lacking:
            continue
        count = sum(cell.count for cell in lacking)
        if count == stored.rows:
            raise InputError(Problem(f'the target "{name}" has no value in any row', "data.target"))
        counted = "1 row" if count == 1 else f"{count} rows"
        message = (
            f'the target "{name}" {_NO_NUMBER} in {counted} (first in {stored.locate(lacking[0].row)}); correct them, '
            "or leave such rows out by data.drop_unlabelled: true"
        )
        raise InputError(Problem(message, "data.target"))


def _repeat_cells(
    counts: dict[tuple[Any, ...], _Cell], stored: StoredRows, raw: RawData
) -> tuple[pd.DataFrame, list[tuple[Any, ...]]]:
    """Return a table of the distinct cells, each as often as it occurs in proportion; and the cells of its rows."""
    share = min(1.0, _MOST_REPEATED / stored.rows)
    repeats = [max(min(cell.count, _FEWEST), round(cell.count * share)) for cell in counts.values()]
    keys = [key for key, repeat in zip(counts, repeats, strict=True) for _ in range(repeat)]
    columns = {}
    for index, (name, values) in enumerate(stored.targets.items()):
        dtype: Any = object if isinstance(values, Words) else np.float64
        columns[name] = pd.Series([key[index] for key in keys], dtype=dtype)
    return pd.DataFrame(columns), keys


def _describe_cells(keys: list[tuple[Any, ...]], counts: dict[tuple[Any, ...], _Cell], raw: RawData) -> RawData:
    """Return facts of the repeated cells for messages: the place of each is the first one of its kind."""
    numbers = [counts[key].row + 1 for key in keys]
    origin = Origin(raw.origins[0].name, raw.origins[0].key, "row", numbers)
    return replace(raw, origins=(origin,))


def _read_numbers(stored: StoredRows, first: pd.DataFrame, raw: RawData, spec: DataSpec, scratch: Scratch) -> Labels:
    """Return the labels of targets of many distinct cells.

    Raises:
        InputError: if these are no numbers.
    """
    labels = read_labels(first, raw, spec)
    if labels.classes:
        message = f'the target "{labels.targets[0]}" has more than {MOST_DISTINCT:,} classes; is it the right column?'
        raise InputError(Problem(message, "data.target"))
    if labels.kind == "multi_label":
        message = f"the labels have more than {MOST_DISTINCT:,} combinations, which are not streamed; give fewer labels"
        raise InputError(Problem(message, "data.target"))
    y = scratch.make((stored.rows, len(stored.targets)), np.float32)
    limit = float(np.finfo(np.float32).max)
    for index, (name, values) in enumerate(stored.targets.items()):
        form = _find_form(first[name], name, raw, spec) if isinstance(values, Words) else None
        for start, stop in iterate_chunks(stored.rows):
            numbers = _convert(values[start:stop], form)
            bad = np.flatnonzero(~np.isfinite(numbers))
            if len(bad):
                got = values[start:stop][bad[0]]
                message = f'the target "{name}" {_NO_NUMBER} in {stored.locate(start + int(bad[0]))}, got {got!r}'
                advice = "correct it, or leave rows without a target out by data.drop_unlabelled: true"
                raise InputError(Problem(f"{message}; {advice}", "data.target"))
            if np.abs(numbers).max() > limit:
                raise InputError(Problem(f'the target "{name}" holds values beyond 3e38; rescale it', "data.target"))
            y[start:stop, index] = numbers
    return replace(labels, y=y)


def _find_form(series: pd.Series, name: str, raw: RawData, spec: DataSpec) -> CellForm | None:
    cells = clean_text(series.reset_index(drop=True).rename(name), spec, is_target=True)
    words = pd.unique(cells[~mark_missing_words(cells)]).tolist()
    return find_target_form(words, name, ReadingRules.of_column(name, spec, find_source_marks(raw, spec)))


def _convert(cells: Array, form: CellForm | None) -> Array:
    if form is None:
        return cells.astype(np.float64) if cells.dtype.kind == "f" else np.full(len(cells), np.nan)
    codes, words = pd.factorize(pd.Series(cells))
    numbers: Array = read_words([word or "nan" for word in words], "numeric", form)[codes]
    return numbers
