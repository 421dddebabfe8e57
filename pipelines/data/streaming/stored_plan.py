"""The encoding plan of a table in files, by the rules of `encoding`; and its columns that training can learn from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column, explain_idle
from pipelines.data.columns.encoding import (
    EMBEDDING_MOST,
    HEAVY_SKEW,
    NumberPlan,
    Plan,
    StringPlan,
    list_cycles,
    make_string_plan,
    may_be_place,
)
from pipelines.data.columns.list_columns import NumberListPlan, WordListPlan, make_word_list_plan
from pipelines.data.columns.places import DEGREES, find_longitudes
from pipelines.data.columns.text_columns import LENGTH_SHARE, TextPlan, get_most_words, make_text_plan, split_text
from pipelines.data.scratch import Scratch
from pipelines.data.streaming.column_files import StoredColumn, StoredRows
from pipelines.data.streaming.row_split import StoredSplit
from pipelines.data.streaming.stored_statistics import StoredStatistics
from pipelines.spec.data_spec import ColumnSpec, DataSpec
from search_spaces.errors import InputError, Problem


def leave_out_idle_columns(
    stored: StoredRows, learnt: StoredStatistics, spec: DataSpec
) -> tuple[StoredRows, list[str]]:
    """Return the rows with the columns that training can learn from, and a note on each other one.

    Raises:
        InputError: if none is left.
    """
    kept, notes = [], []
    for index, column in enumerate(stored.columns):
        reason, stays = _explain_idle(column, index, learnt), column.name in spec.columns
        if reason and ("no value" in reason or not stays):
            advice = "" if stays else f"; any setting under data.columns.{column.name} keeps it"
            notes.append(f'column "{column.name}" is left out: {reason}{advice if "no value" not in reason else ""}')
        else:
            kept.append(column)
    if not kept:
        message = f"no column has two values in the training rows: {'; '.join(notes)}"
        raise InputError(Problem(message, "data.source"))
    return replace(stored, columns=kept), notes


def plan_stored_table(
    stored: StoredRows, split: StoredSplit, learnt: StoredStatistics, spec: DataSpec, scratch: Scratch
) -> Plan:
    """Return the encoding of a table.

    Args:
        stored: all rows.
        split: their division.
        learnt: statistics of the rows that any fold trains on.
        spec: the study file's `data`.
        scratch: makes arrays.
    """
    single = split.folds == 1
    folds = [learnt] if single else [StoredStatistics(stored, split, fold, scratch) for fold in range(split.folds)]
    longitudes = _find_longitudes(stored, learnt, spec)
    numbers: list[NumberPlan] = []
    strings: list[StringPlan] = []
    texts: list[TextPlan] = []
    number_lists: list[NumberListPlan] = []
    word_lists: list[WordListPlan] = []
    for index, column in enumerate(stored.columns):
        chosen = spec.columns.get(column.name)
        if column.kind == "text":
            texts.append(_plan_text(index, learnt, folds, chosen))
        elif column.kind == "number_list":
            entries = range(column.raw.shape[0])
            sizes = [learnt.sort_numbers(index, entry) for entry in entries]
            number_lists.append(NumberListPlan(index, tuple(len(each.known) < each.rows for each in sizes)))
        elif column.kind == "word_list":
            word_lists.append(make_word_list_plan(index, max(len(fold.count_list_words(index)) for fold in folds)))
        elif column.kind == "string":
            encoding = chosen.encoding if chosen else None
            # Hashes need no more than to know that there are many.
            most = EMBEDDING_MOST if encoding is None else None
            found = max(len(fold.list_categories(index, most)) for fold in folds)
            strings.append(make_string_plan(index, found, encoding))
        else:
            number = _plan_number(index, column, learnt, scratch)
            numbers.append(replace(number, cycles=(DEGREES,)) if column.name in longitudes else number)
    return Plan(tuple(numbers), tuple(strings), tuple(texts), tuple(number_lists), tuple(word_lists))


def _find_longitudes(stored: StoredRows, learnt: StoredStatistics, spec: DataSpec) -> Collection[str]:
    ranges = dict[str, tuple[float, float]]()
    for index, column in enumerate(stored.columns):
        if may_be_place(column.name, column.kind, spec) and len(known := learnt.sort_numbers(index).known):
            ranges[column.name] = float(known[0]), float(known[-1])
    return find_longitudes(ranges)


def _plan_number(index: int, column: StoredColumn, learnt: StoredStatistics, scratch: Scratch) -> NumberPlan:
    values = learnt.sort_numbers(index)
    marks_missing = len(values.known) < values.rows
    if column.kind == "date":
        return NumberPlan(index, marks_missing, cycles=list_cycles(column.form, has_times=values.has_fractions()))
    heavy = column.kind == "numeric" and values.is_heavy(HEAVY_SKEW)
    return NumberPlan(index, marks_missing, values.find_log_unit(scratch) if heavy else None)


def _plan_text(
    index: int, learnt: StoredStatistics, folds: Sequence[StoredStatistics], chosen: ColumnSpec | None
) -> TextPlan:
    lengths: Counter[int] = Counter()
    for values in learnt.iterate_values(index):
        lengths.update(len(split_text(text)) for text in values)
    found = max(_count_distinct_words(index, fold, get_most_words(chosen)) for fold in folds)
    return make_text_plan(index, _find_quantile(lengths, LENGTH_SHARE), found, chosen)


def _find_quantile(counts: Counter[int], share: float) -> int:
    """Return the quantile as NumPy's method "higher" gives it."""
    place, seen = math.ceil((counts.total() - 1) * share), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen > place:
            return value
    return 0


def _count_distinct_words(index: int, fold: StoredStatistics, most: int) -> int:
    found: set[str] = set()
    for values in fold.iterate_values(index):
        for text in values:
            found.update(split_text(text))
        if len(found) >= most:
            break
    return len(found)


def _explain_idle(column: StoredColumn, index: int, learnt: StoredStatistics) -> str:
    """Return why nothing can be learnt from a column; "" if something can."""
    first: Array | None = None
    has_gaps = False
    for values in learnt.iterate_values(index):
        known = column.mark_known(values)
        has_gaps |= not bool(known.all())
        some = values[known]
        if not len(some):
            continue
        first = some[:1] if first is None else first
        if (some != first).any() or has_gaps:
            return ""
    if first is not None and has_gaps:  # a gap distinguishes rows too
        return ""
    shown = first if first is not None else np.array([""] if column.is_words else [np.nan], dtype=object)
    shown = shown if column.is_words else shown.astype(np.float64)
    few = Column(column.name, column.input, column.kind, np.concatenate([shown, shown]))
    return explain_idle(few, np.arange(2))
