"""Cells of a target column: text, and numbers where it holds numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.cell_text import clean_text, mark_missing_words
from pipelines.data.columns.columns import find_source_marks
from pipelines.data.columns.number_forms import FormConflict
from pipelines.data.columns.text_types import ReadingRules, find_doubtful_dot, find_target_form, has_leading_zeros
from pipelines.data.columns.written_forms import describe_written
from pipelines.data.raw import RawData
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem
from tracking.mlflow.cell_values import PLAIN, read_number, read_words
from tracking.mlflow.time_values import read_duration

MOST_MIXED_CLASSES = 20  # classes such as 1, 2 and "3+" are fewer


@dataclass(frozen=True)
class TargetCells:
    """A target column as text, and as numbers where it holds numbers (booleans count as words).

    Attributes:
        note: how its text became numbers, for the user; empty where nothing was decided.
    """

    text: Array
    numbers: Array | None
    missing: Array
    note: str = ""

    @property
    def is_joined(self) -> bool:
        """Whether some words are others with a mark between, such as "red|blue" beside "red"."""
        words = {str(word) for word in self.text}
        joined = [word.split(mark) for mark in "|;" for word in words if mark in word]
        return any(all(part.strip() in words for part in parts) for parts in joined)

    def select(self, rows: Array) -> TargetCells:
        """Return the cells of some rows."""
        numbers = None if self.numbers is None else self.numbers[rows]
        return TargetCells(self.text[rows], numbers, self.missing[rows], self.note)

    def check_known(self, name: str, raw: RawData) -> None:
        """Check that every row has a value.

        Raises:
            InputError: if one has none.
        """
        rows = np.flatnonzero(self.missing)
        if len(rows) == len(self.text):
            raise InputError(Problem(f'the target "{name}" has no value in any row', "data.target"))
        if len(rows):
            count = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
            places = raw.format_places(rows)
            several = "; if its cells hold several labels each, set data.task: multi_label" if self.is_joined else ""
            message = (
                f'the target "{name}" is missing or not finite in {count} ({places}); correct them, or leave such rows '
                f"out by data.drop_unlabelled: true{several}"
            )
            raise InputError(Problem(message, "data.target"))

    def check_unmixed(self, name: str, raw: RawData, spec: DataSpec) -> None:
        """Refuse a target of many numbers and a few words: it is neither classes nor a regression.

        Raises:
            InputError: if it is one.
        """
        if self.numbers is not None:
            return
        words = pd.Series(self.text)
        fits = pd.to_numeric(words, errors="coerce").notna().to_numpy(dtype=bool)
        if fits.mean() >= 0.5 and words[fits].nunique() > MOST_MIXED_CLASSES:
            rows = np.flatnonzero(~fits)
            word, place = self.text[rows[0]], raw.format_place(int(rows[0]))
            message = (
                f'the target "{name}" mixes types: {word!r} at {place} is not a number ({len(rows)} such values, at '
                f"{raw.format_places(rows)}); correct them, set {spec.name_task(name, 'multiclass')}, or make them "
                f'missing by data.missing_values: {{{name}: ["{word}"]}}'
            )
            raise InputError(Problem(message, "data.target"))


def read_target_cells(series: pd.Series, raw: RawData, spec: DataSpec) -> TargetCells:
    """Return a target column's cells.

    Raises:
        InputError: if the form of its numbers is in doubt.
    """
    series = series.reset_index(drop=True)
    cells = clean_text(series, spec, is_target=True)
    text = cells.to_numpy(dtype=object)
    words = pd.api.types.is_bool_dtype(series.dtype)
    if not words and pd.api.types.is_numeric_dtype(series.dtype):
        values = series.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        # A word such as -1 that means "missing" has become "" in the text.
        values = np.where(text == "", np.nan, values)
        return TargetCells(text, values, ~np.isfinite(values))
    empty = mark_missing_words(cells)
    numbers, note = (None, "") if words else _read_numbers(cells, empty, raw, spec)
    # Among words, "NA" and "None" are classes like any other; among numbers they are missing.
    if numbers is not None and spec.task not in ("binary", "multiclass"):
        return TargetCells(text, numbers, empty | ~np.isfinite(numbers), note)
    return TargetCells(text, None if empty.any() else numbers, text == "", note)


def _read_numbers(cells: pd.Series, empty: Array, raw: RawData, spec: DataSpec) -> tuple[Array | None, str]:
    """Return the numbers that all cells hold, NaN where empty, and a note on their form; None for words."""
    codes, words = pd.factorize(cells[~empty])
    name = str(cells.name)
    if not len(words) or (has_leading_zeros(words.tolist()) and "regression" not in spec.task):
        return None, ""
    is_plain = pd.to_numeric(pd.Series(words), errors="coerce").notna().all()
    # Classes may be called 5 % and 10 %.
    if not is_plain and spec.task in ("binary", "multiclass"):
        return None, ""
    try:
        rules = ReadingRules.of_column(name, spec, find_source_marks(raw, spec))
        form = find_target_form(words.tolist(), name, rules)
    except FormConflict as conflict:
        message = (
            f'the target "{name}" {conflict}; or set {spec.name_task(name, "multiclass")} if its values are classes'
        )
        raise InputError(Problem(message, "data.target")) from None
    if form is None:
        return None, ""
    numbers = np.full(len(cells), np.nan)
    numbers[~empty] = read_words(words.tolist(), "numeric", form)[codes]
    if doubtful := find_doubtful_dot(words.tolist(), form, rules):
        mark = f'data.columns.{name}.thousands: "."'
        shown = f'the target "{name}" holds {doubtful}, read as {float(doubtful):.12g}'
        return numbers, f'{shown}; if "." stands between thousands, set {mark}'
    if form.duration:
        shown = f"{words[0]!r}, read as {read_duration(words[0], form.duration):.12g} seconds"
        advice = f"if its values are classes, set {spec.name_task(name, 'multiclass')}"
        return numbers, f'the target "{name}" holds durations such as {shown}; {advice}'
    example = next((word for word in words if form != PLAIN and read_number(word) != read_number(word, form)), "")
    value = describe_written(example, form) if form.written else f"{read_number(example, form):.12g}"
    note = (
        f'the target "{name}" holds numbers such as {example!r}, read as {value}; if its '
        f"values are classes, set {spec.name_task(name, 'multiclass')}"
    )
    return numbers, note if example else ""
