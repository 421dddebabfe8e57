"""Statistics of a table's training rows in files, equal to those of the same rows in memory but for rounding."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.encoding import HEAVY_DISTINCT, NumberPlan
from pipelines.data.columns.list_columns import NumberListPlan, count_words, sort_commonest
from pipelines.data.scratch import Scratch, iterate_chunks
from pipelines.data.streaming.column_files import StoredColumn, StoredRows
from pipelines.data.streaming.row_split import StoredSplit
from pipelines.data.table_statistics import NumberStatistics, find_heavy, plan_entries, scale_logarithmically

_LOG_QUANTILE = 0.05


@dataclass(frozen=True)
class SortedNumbers:
    """The known values of some rows of one column of numbers, sorted, in a file.

    Attributes:
        known: float64 [value].
        rows: number of the rows, those without a value included.
    """

    known: Array
    rows: int

    @property
    def median(self) -> float:
        """Median of the values; 0 if there is none."""
        count = len(self.known)
        return float(np.mean([self.known[(count - 1) // 2], self.known[count // 2]])) if count else 0.0

    def has_distinct(self, most: int) -> bool:
        """Return whether there are so many distinct values."""
        found = min(1, len(self.known))
        for start, stop in iterate_chunks(len(self.known) - 1):
            found += int((np.diff(self.known[start : stop + 1]) != 0).sum())
            if found >= most:
                return True
        return found >= most

    def has_fractions(self) -> bool:
        """Return whether some value is no whole number."""
        return any((np.mod(part, 1) != 0).any() for part in self._iterate())

    def is_heavy(self, skew: float) -> bool:
        """Return whether the values have a tail: more than a few distinct ones, and this skewness."""
        if not self.has_distinct(HEAVY_DISTINCT):
            return False
        mean, spread = self.measure(None)
        if spread <= 0:
            return False
        scaled = ((part - mean) / spread for part in self._iterate())
        # Not `** 3`, which takes ten times as long.
        return abs(sum(float((part * part * part).sum()) for part in scaled) / len(self.known)) > skew

    def measure(self, fill: float | None, unit: float | None = None) -> tuple[float, float]:
        """Return mean and standard deviation.

        Args:
            fill: value of the rows that have none; None leaves these out.
            unit: unit of the logarithmic scale that values are on; None for their own.
        """
        filled = [] if fill is None else self._convert(np.array([fill]), unit).tolist()
        missing = 0 if fill is None else self.rows - len(self.known)
        count = len(self.known) + missing
        if not count:
            return 0.0, 0.0
        total = math.fsum(float(self._convert(part, unit).sum()) for part in self._iterate())
        mean = (total + missing * sum(filled)) / count
        squares = math.fsum(float(((self._convert(part, unit) - mean) ** 2).sum()) for part in self._iterate())
        squares += missing * sum((each - mean) ** 2 for each in filled)
        return mean, math.sqrt(squares / count)

    def find_log_unit(self, scratch: Scratch) -> float:
        """Return the unit of the logarithmic scale; see `encoding`."""
        sizes, found = scratch.make(len(self.known), np.float64), 0
        for part in self._iterate():
            some = np.abs(part[part != 0])
            sizes[found : found + len(some)] = some
            found += len(some)
        sizes = sizes[:found]
        sizes.sort()
        place = (found - 1) * _LOG_QUANTILE
        below = int(place)
        # NumPy's own interpolation, of the two values around.
        return float(np.quantile(sizes[[below, min(below + 1, found - 1)]], place - below))

    @staticmethod
    def _convert(values: Array, unit: float | None) -> Array:
        return values if unit is None else scale_logarithmically(values, np.array(unit))

    def _iterate(self) -> Iterator[Array]:
        for start, stop in iterate_chunks(len(self.known)):
            yield self.known[start:stop]


class StoredStatistics:
    """Statistics of a table in files; see `TableStatistics`.

    Args:
        stored: all rows.
        split: their division.
        fold: the fold whose training rows count; None for the rows that any fold trains on.
        scratch: makes arrays.
    """

    def __init__(self, stored: StoredRows, split: StoredSplit, fold: int | None, scratch: Scratch) -> None:
        self._columns: Sequence[StoredColumn] = stored.columns
        self._rows = stored.rows
        self._split = split
        self._fold = fold
        self._scratch = scratch
        self._trained = split.count("train", fold) if fold is not None else self._count_learnt()
        self._sorted: dict[tuple[int, int], SortedNumbers] = {}

    def sort_numbers(self, column: int, entry: int = -1) -> SortedNumbers:
        """Return the sorted values of a column of numbers, or of one entry of a column of lists."""
        found = self._sorted.get((column, entry))
        if found is None:
            found = self._sorted[column, entry] = self._sort_numbers(column, entry)
        return found

    def iterate_values(self, column: int) -> Iterator[Array]:
        """Yield the values of a column's training rows, some rows at a time."""
        for start, stop in iterate_chunks(self._rows):
            marked = self._mark(start, stop)
            if marked.any():
                yield self._columns[column].read(start, stop)[marked]

    def measure_numbers(self, plans: Sequence[NumberPlan]) -> NumberStatistics:
        """See `TableStatistics`."""
        return self._measure([self.sort_numbers(plan.column) for plan in plans], plans)

    def measure_list(self, plan: NumberListPlan) -> NumberStatistics:
        """See `TableStatistics`."""
        entries = plan_entries(plan)
        return self._measure([self.sort_numbers(plan.column, entry.column) for entry in entries], entries)

    def list_categories(self, column: int, most: int | None = None) -> list[str]:
        """See `TableStatistics`; with `most`, no more than so many and one are looked for."""
        found: set[str] = set()
        for values in self.iterate_values(column):
            found.update(pd.unique(pd.Series(values)).tolist())
            if most is not None and len(found) > most + 1:
                break
        return sorted(found - {""})

    def count_list_words(self, column: int) -> Counter[str]:
        """Return in how many training rows each word of a column of lists is."""
        counts: Counter[str] = Counter()
        for values in self.iterate_values(column):
            counts.update(count_words(values))
        return counts

    def list_commonest(self, column: int) -> list[str]:
        """See `TableStatistics`."""
        return sort_commonest(self.count_list_words(column))

    def iterate_texts(self, column: int) -> Iterator[Array]:
        """See `TableStatistics`."""
        return self.iterate_values(column)

    def _mark(self, start: int, stop: int) -> Array:
        if self._fold is None:
            return self._split.mark_learnt(start, stop)
        return self._split.mark("train", self._fold, start, stop)

    def _count_learnt(self) -> int:
        return sum(int(self._mark(start, stop).sum()) for start, stop in iterate_chunks(self._rows))

    def _sort_numbers(self, column: int, entry: int) -> SortedNumbers:
        known, found = self._scratch.make(self._trained, np.float64), 0
        for values in self.iterate_values(column):
            some = values if entry < 0 else values[:, entry]
            some = some[np.isfinite(some)]
            known[found : found + len(some)] = some
            found += len(some)
        known = known[:found]
        known.sort()
        return SortedNumbers(known, self._trained)

    def _measure(self, found: Sequence[SortedNumbers], plans: Sequence[NumberPlan]) -> NumberStatistics:
        fills = [each.median for each in found]
        moments = [each.measure(fill) for each, fill in zip(found, fills, strict=True)]
        heavy = find_heavy(plans)
        logs = [found[index].measure(fills[index], plans[index].log_unit) for index in heavy]
        means, spreads = _transpose(moments)
        return NumberStatistics(np.array(fills), means, spreads, *_transpose(logs))


def _transpose(moments: Sequence[tuple[float, float]]) -> tuple[Array, Array]:
    return np.array([mean for mean, _ in moments]), np.array([spread for _, spread in moments])
