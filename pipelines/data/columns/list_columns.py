"""Columns of lists: of numbers, all of one length, or of words.

A cell is a list of a typed source, or text with its entries between `|`, `;`, `,` or blanks, with or without brackets.
Each number of a list is a feature; of words, each of the training rows' words is one, 1 in rows that have it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.source_types import ColumnKind
from pipelines.data.raw import RawData
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem
from tracking.mlflow.cell_values import CellForm
from tracking.mlflow.list_values import BLANKS, join_words, read_number_list, split_list, split_words

MOST_WORDS = 1_000  # chosen: each is a feature of every row
_MARKS = ("|", ";", ",", BLANKS)
_SAMPLE = 200  # cells that the form of text is found from


@dataclass(frozen=True)
class ListReading:
    """Values of a column of lists.

    Attributes:
        values: numbers float64 [row, entry], NaN for missing ones; or words as `join_words` joins them [row].
        note: how text was split; empty for a typed source.
    """

    kind: ColumnKind
    values: Array
    form: CellForm
    note: str = ""


@dataclass(frozen=True)
class NumberListPlan:
    """One column of lists of numbers.

    Attributes:
        column: its index among the columns.
        marked: per entry whether a further feature marks its missing values.
    """

    column: int
    marked: tuple[bool, ...]

    @property
    def width(self) -> int:
        """Number of its dense features."""
        return len(self.marked) + sum(self.marked)


@dataclass(frozen=True)
class WordListPlan:
    """One column of lists of words.

    Attributes:
        column: its index among the columns.
        codes: number of words that are features, and 1 for all others.
        found: number of words in the training rows of the fold that has most.
    """

    column: int
    codes: int
    found: int


def is_list_column(cells: pd.Series, declared: str | None, *, is_text: bool) -> bool:
    """Return whether a column holds lists: as declared, lists of a typed source, or text in brackets of numbers."""
    if declared is not None:
        return declared == "list"
    if not is_text:
        known = cells[cells.notna()] if cells.dtype == object else cells.iloc[:0]
        return len(known) > 0 and all(isinstance(cell, list | tuple | np.ndarray) for cell in known)
    words = [str(cell).strip() for cell in cells if str(cell).strip()]
    if not words or not all(word.startswith("[") and word.endswith("]") for word in words):
        return False
    sample = words[:_SAMPLE]
    return _find_number_form(sample, CellForm(), is_decided=False) is not None


def read_list_column(cells: pd.Series, name: str, raw: RawData, spec: DataSpec, rules: CellForm) -> ListReading:
    """Return a column of lists.

    Args:
        cells: its cells.
        name: its name.
        raw: the rows, for the place of each.
        spec: the study file's `data`.
        rules: the column's words for "missing" and its replacements.

    Raises:
        InputError: if lists of numbers differ in length, or a cell is no list.
    """
    chosen = spec.columns.get(name)
    entries = [None if _is_missing(cell, rules) else cell for cell in cells]
    typed = [cell for cell in entries if isinstance(cell, list | tuple | np.ndarray)]
    is_text = not typed
    _check_typed(entries, name, raw, is_text=is_text)
    if chosen is None or chosen.encoding is None:
        form = _find_form(entries, rules, chosen.decimal if chosen else None, spec, is_text=is_text)
        if form is not None:
            values = _read_numbers(entries, form, name, raw)
            return ListReading("number_list", values, form, _note(name, form, values, is_text=is_text))
    form = replace(rules, mark=_find_word_mark([str(cell) for cell in entries if cell is not None]))
    values = _join(entries, form, name, raw)
    return ListReading("word_list", values, form, _note(name, form, values, is_text=is_text))


def read_further_lists(
    cells: pd.Series, name: str, raw: RawData, rules: CellForm, form: CellForm, length: int | None
) -> Array:
    """Return further rows of a column of lists.

    Args:
        cells: its cells.
        name: its name.
        raw: the rows, for the place of each.
        rules: the column's words for "missing" and its replacements.
        form: the form of the first rows' lists.
        length: numbers of each list; None for lists of words.

    Raises:
        InputError: if a list has another length, or a cell is no list of this form.
    """
    entries = [None if _is_missing(cell, rules) else cell for cell in cells]
    _check_typed(entries, name, raw, is_text=raw.text)
    if length is None:
        return _join(entries, form, name, raw)
    return _stack(_read_each(entries, lambda cell: read_number_list(cell, form, length), name, raw))


def plan_word_list(index: int, values: Array, training: Sequence[Array]) -> WordListPlan:
    """Return how a column of words is encoded, the same for all folds."""
    # The fold with most words decides: all folds share the shape of the model's input.
    return make_word_list_plan(index, max(len(count_words(values[rows])) for rows in training))


def make_word_list_plan(index: int, found: int) -> WordListPlan:
    """Return the encoding of a column of so many distinct words."""
    return WordListPlan(index, min(found, MOST_WORDS) + 1, found)


def plan_number_list(index: int, values: Array, training: Sequence[Array]) -> NumberListPlan:
    """Return how a column of lists of numbers is encoded, the same for all folds."""
    rows = reduce(np.union1d, training)
    known = np.isfinite(values[rows])
    return NumberListPlan(index, tuple(not entry.all() for entry in known.T))


def list_commonest(values: Array) -> list[str]:
    """Return the words of some rows, the commonest first, no more than become features."""
    return sort_commonest(count_words(values))


def sort_commonest(counts: Counter[str]) -> list[str]:
    """Return the commonest words first, no more than become features."""
    return sorted(counts, key=lambda word: (-counts[word], word))[:MOST_WORDS]


def note_words(plan: WordListPlan, name: str) -> str:
    """Return the note on words that are no features; "" where all are."""
    if plan.found < plan.codes:
        return ""
    return f'column "{name}" has {plan.found:,} words in the training rows; the {MOST_WORDS:,} commonest are features'


def count_words(values: Array) -> Counter[str]:
    """Return in how many rows each word is."""
    return Counter(word for joined in values.tolist() for word in set(split_words(joined)))


def _is_missing(cell: Any, rules: CellForm) -> bool:
    if isinstance(cell, list | tuple | np.ndarray):
        return False
    return cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell)) or str(cell) in rules.missing


def _check_typed(entries: Sequence[Any], name: str, raw: RawData, *, is_text: bool) -> None:
    for row, cell in enumerate(entries):
        if cell is None or (is_text and isinstance(cell, str)):
            continue
        if is_text or not isinstance(cell, list | tuple | np.ndarray):
            message = f'column "{name}": expected a list, got {cell!r} at {raw.format_place(row)}'
            raise InputError(Problem(message, f"data.columns.{name}"))


def _find_form(
    entries: Sequence[Any], rules: CellForm, decimal: str | None, spec: DataSpec, *, is_text: bool
) -> CellForm | None:
    """Return the form of lists of numbers; None for words."""
    if not is_text:
        flat = [entry for cell in entries if cell is not None for entry in cell if entry is not None]
        return rules if all(isinstance(entry, int | float | np.number | np.bool_) for entry in flat) else None
    decided = decimal or spec.decimal
    texts = [cell for cell in entries if cell is not None]
    return _find_number_form(texts, replace(rules, decimal=decided or "."), is_decided=decided is not None)


def _find_number_form(texts: Sequence[str], rules: CellForm, *, is_decided: bool) -> CellForm | None:
    """Return the form in which every text is a list of numbers; None where none is."""
    used = [mark for mark in _MARKS if mark == BLANKS or any(mark in text for text in texts)]
    for mark in used:
        for decimal in (rules.decimal,) if is_decided or mark == "," else (".", ","):
            form = replace(rules, mark=mark, decimal=decimal)
            if (decimal == "." or mark != ",") and all(_is_of_numbers(text, form) for text in texts):
                return form
    return None


def _is_of_numbers(text: str, form: CellForm) -> bool:
    parts = split_list(text, form.mark)
    try:
        read_number_list(text, form, len(parts or ()))
    except ValueError:
        return False
    return True


def _find_word_mark(texts: Sequence[str]) -> str:
    return next((mark for mark in _MARKS if any(mark in text for text in texts)), ",")


def _read_numbers(entries: Sequence[Any], form: CellForm, name: str, raw: RawData) -> Array:
    lengths = [None if (cell := split_list(each, form.mark)) is None else len(cell) for each in entries]
    known = [length for length in lengths if length is not None]
    usual = Counter(known).most_common(1)[0][0] if known else 1
    odd = [row for row, length in enumerate(lengths) if length not in (None, usual)]
    if odd or not usual:
        row = odd[0] if odd else 0
        shown = f"{lengths[row]} at {raw.format_place(row)}"
        more = f" ({len(odd)} such lists, at {raw.format_places(odd)})" if len(odd) > 1 else ""
        message = (
            f'column "{name}": expected lists of {usual} numbers as in most rows, got {shown}{more}; give all one '
            f"length, or set data.columns.{name}: {{type: list, encoding: one_hot}} if the numbers are categories"
        )
        raise InputError(Problem(message, f"data.columns.{name}"))
    return _stack(_read_each(entries, lambda cell: read_number_list(cell, form, usual), name, raw))


def _stack(rows: Iterator[Array]) -> Array:
    values = np.stack(list(rows))
    # What float32 cannot hold counts as missing, as in a column of numbers.
    return np.where(np.abs(values) <= np.finfo(np.float32).max, values, np.nan)


def _join(entries: Sequence[Any], form: CellForm, name: str, raw: RawData) -> Array:
    return np.array(list(_read_each(entries, lambda cell: join_words(cell, form), name, raw)), dtype=object)


def _read_each(entries: Sequence[Any], read: Any, name: str, raw: RawData) -> Iterator[Any]:
    for row, cell in enumerate(entries):
        try:
            yield read(cell)
        except ValueError as error:
            message = f'column "{name}": {error} at {raw.format_place(row)}'
            raise InputError(Problem(message, f"data.columns.{name}")) from None


def _note(name: str, form: CellForm, values: Array, *, is_text: bool) -> str:
    if not is_text:
        return ""
    between = "blanks" if form.mark == BLANKS else f'"{form.mark}"'
    what = f"lists of {values.shape[1]} numbers" if values.ndim == 2 else "lists of words"
    return f'column "{name}" holds {what} with {between} between; set data.columns.{name}.type: string for categories'
