"""Statistics of a table's training rows that its preprocessing is made of: of columns in memory, or in files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.columns.encoding import NumberPlan, calculate_median, list_categories
from pipelines.data.columns.list_columns import NumberListPlan, list_commonest


@dataclass(frozen=True)
class NumberStatistics:
    """Statistics of some columns of numbers, float64 [column].

    Attributes:
        fill: the median, which stands for missing values.
        mean: mean of the filled values.
        spread: their standard deviation.
        log_mean: mean of the signed logarithms, of the columns that have such a copy.
        log_spread: standard deviation of these.
    """

    fill: Array
    mean: Array
    spread: Array
    log_mean: Array
    log_spread: Array


class TableStatistics(Protocol):
    """Statistics of the training rows of a fold; columns are named by their index."""

    def measure_numbers(self, plans: Sequence[NumberPlan]) -> NumberStatistics:
        """Return the statistics of columns of numbers."""

    def measure_list(self, plan: NumberListPlan) -> NumberStatistics:
        """Return the statistics of each entry of a column of lists of numbers."""

    def list_categories(self, column: int) -> list[str]:
        """Return the distinct strings without the missing one, in a fixed order."""

    def list_commonest(self, column: int) -> list[str]:
        """Return the words of a column of lists that are features, the commonest first."""

    def iterate_texts(self, column: int) -> Iterator[Array]:
        """Yield the texts of a column, some rows at a time."""


class ColumnStatistics:
    """Statistics of columns in memory; see `TableStatistics`."""

    def __init__(self, columns: Sequence[Column], rows: Array) -> None:
        self._columns = columns
        self._rows = rows

    def measure_numbers(self, plans: Sequence[NumberPlan]) -> NumberStatistics:
        """See `TableStatistics`."""
        values = np.stack([self._columns[number.column].values[self._rows] for number in plans], axis=1)
        return measure_numbers(values, plans)

    def measure_list(self, plan: NumberListPlan) -> NumberStatistics:
        """See `TableStatistics`."""
        return measure_numbers(self._columns[plan.column].values[self._rows], plan_entries(plan))

    def list_categories(self, column: int) -> list[str]:
        """See `TableStatistics`."""
        return list_categories(self._columns[column].values[self._rows])

    def list_commonest(self, column: int) -> list[str]:
        """See `TableStatistics`."""
        return list_commonest(self._columns[column].values[self._rows])

    def iterate_texts(self, column: int) -> Iterator[Array]:
        """See `TableStatistics`."""
        yield self._columns[column].values[self._rows]


def measure_numbers(values: Array, plans: Sequence[NumberPlan]) -> NumberStatistics:
    """Return the statistics of values [row, column], NaN where missing."""
    # The median and not the mean: one far outlier would move it.
    fill = np.array([calculate_median(values[:, index]) for index in range(len(plans))])
    filled = np.where(np.isfinite(values), values, fill)
    heavy = find_heavy(plans)
    logs = scale_logarithmically(filled[:, heavy], list_units(plans))
    empty = np.zeros(0)
    return NumberStatistics(
        fill,
        filled.mean(axis=0),
        filled.std(axis=0),
        logs.mean(axis=0) if heavy else empty,
        logs.std(axis=0) if heavy else empty,
    )


def find_heavy(plans: Sequence[NumberPlan]) -> list[int]:
    """Return the places of the columns that have a copy on a logarithmic scale."""
    return [index for index, plan in enumerate(plans) if plan.log_unit is not None]


def list_units(plans: Sequence[NumberPlan]) -> Array:
    """Return the units of these columns' logarithms."""
    return np.array([plan.log_unit for plan in plans if plan.log_unit is not None], dtype=np.float64)


def scale_logarithmically(values: Array, units: Array) -> Array:
    """Return the signed logarithms of values [row, column] in these units."""
    scaled = values / units
    logs: Array = np.sign(scaled) * np.log1p(np.abs(scaled))
    return logs


def plan_entries(plan: NumberListPlan) -> list[NumberPlan]:
    """Return the entries of a list as columns of numbers."""
    return [NumberPlan(index, marks_missing) for index, marks_missing in enumerate(plan.marked)]
