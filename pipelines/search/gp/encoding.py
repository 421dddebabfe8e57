"""Points of a search space as rows of numbers in [0, 1], and as columns that a kernel measures distances in.

A parameter that a point does not have, because a condition does not hold, is NaN in its row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.distribution_values import list_values

Points = NDArray[np.float64]

# Chosen: more values of a whole number are as good as a continuous range.
_MOST_VALUES = 5_000


@dataclass(frozen=True)
class Axis:
    """One parameter as a coordinate.

    Attributes:
        values: its values where they are few enough to be listed, in the order of their coordinates.
        is_ordered: whether neighbouring coordinates mean similar values.
    """

    name: str
    distribution: BaseDistribution
    values: Sequence[Any] | None
    is_ordered: bool

    @classmethod
    def make(cls, name: str, distribution: BaseDistribution) -> Axis:
        """Return the axis of a parameter; numbers in a list are ordered by their size."""
        values = list_values(name, distribution)
        if values is not None and len(values) > _MOST_VALUES:
            values = None
        if not isinstance(distribution, CategoricalDistribution):
            return cls(name, distribution, values, is_ordered=True)
        assert values is not None
        is_ordered = len(values) > 2 and all(
            isinstance(each, int | float) and not isinstance(each, bool) for each in values
        )
        return cls(name, distribution, sorted(values) if is_ordered else values, is_ordered)

    @cached_property
    def coordinates(self) -> Points | None:
        """Return the coordinate of each of the values; None for a continuous range."""
        if self.values is None:
            return None
        if isinstance(self.distribution, CategoricalDistribution):
            return (np.arange(len(self.values)) + 0.5) / len(self.values)
        return self._scale(np.asarray(self.values, dtype=float))

    def encode(self, value: Any) -> float:
        """Return the coordinate of a value."""
        if isinstance(self.distribution, CategoricalDistribution):
            assert self.values is not None
            return float((list(self.values).index(value) + 0.5) / len(self.values))
        # Without NumPy, which takes ten times as long for a single number.
        low, high = self._limits
        if self._is_log and value <= 0:  # of an earlier range
            return 0.0
        number = math.log(value) if self._is_log else float(value)
        return min(max((number - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def decode(self, coordinate: float) -> Any:
        """Return the value at a coordinate, the nearest one where the values are listed."""
        if self.values is not None:
            assert self.coordinates is not None
            return self.values[int(_find_nearest(self.coordinates, np.asarray([coordinate]))[0])]
        low, high = self._limits
        scaled = low + coordinate * (high - low)
        number = math.exp(scaled) if self._is_log else scaled
        distribution = self.distribution
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        if isinstance(distribution, IntDistribution):
            number = round((number - distribution.low) / distribution.step) * distribution.step + distribution.low
            return int(min(max(number, distribution.low), distribution.high))
        return float(min(max(number, distribution.low), distribution.high))

    def snap(self, coordinates: Points) -> Points:
        """Return the coordinates of the nearest values."""
        if self.coordinates is None:
            return np.clip(coordinates, 0.0, 1.0)
        return self.coordinates[_find_nearest(self.coordinates, coordinates)]

    @property
    def _is_log(self) -> bool:
        return bool(getattr(self.distribution, "log", False))

    @cached_property
    def _limits(self) -> tuple[float, float]:
        distribution = self.distribution
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        # Each whole number gets an interval of the same length, the first and the last one too.
        margin = distribution.step / 2 if isinstance(distribution, IntDistribution) else 0.0
        low, high = distribution.low - margin, distribution.high + margin
        return (math.log(low), math.log(high)) if self._is_log else (low, high)

    def _scale(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        low, high = self._limits
        scaled = np.log(numbers) if self._is_log else numbers
        return (scaled - low) / (high - low) if high > low else np.full_like(scaled, 0.5)


class PointEncoding:
    """Encoding of the points of one search space.

    Args:
        distributions: Optuna's distribution of each parameter by its name; the order of the coordinates.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.axes = tuple(Axis.make(name, each) for name, each in distributions.items())
        self.names = tuple(distributions)
        widths = [1 if axis.is_ordered else len(axis.values or ()) for axis in self.axes]
        self.groups = np.repeat(np.arange(len(self.axes)), widths)
        """The coordinate that each column of `to_columns` belongs to."""

    def encode(self, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> Points:
        """Return the row of a trial's parameters.

        Args:
            params: the values by name; a parameter that is unknown here is left out.
            distributions: what they were drawn from: a value out of the present range becomes its nearest end.
        """
        row = np.full(len(self.axes), np.nan)
        for index, axis in enumerate(self.axes):
            if axis.name not in params:
                continue
            value = params[axis.name]
            is_listed = isinstance(axis.distribution, CategoricalDistribution)
            if is_listed != isinstance(distributions[axis.name], CategoricalDistribution):
                continue
            if is_listed and value not in (axis.values or ()):
                continue
            row[index] = axis.encode(value)
        return row

    def decode(self, row: Points) -> dict[str, Any]:
        """Return the values of a row by name, without those that are NaN."""
        return {
            axis.name: axis.decode(float(coordinate))
            for axis, coordinate in zip(self.axes, row, strict=True)
            if not math.isnan(coordinate)
        }

    def snap(self, points: Points) -> Points:
        """Return rows with the nearest coordinates that stand for a value."""
        return np.stack([axis.snap(points[:, index]) for index, axis in enumerate(self.axes)], axis=1)

    def to_columns(self, points: Points) -> Points:
        """Return the columns that distances are measured in, of shape (points, `len(groups)`).

        An ordered coordinate is a column. A choice is a column for each of its values, so that all choices are equally
        far apart, at a distance of 1. What a point does not have lies in the middle.
        """
        columns = []
        for index, axis in enumerate(self.axes):
            coordinate = points[:, index : index + 1]
            if axis.is_ordered:
                columns.append(np.where(np.isnan(coordinate), 0.5, coordinate))
            else:
                assert axis.coordinates is not None
                columns.append((np.abs(coordinate - axis.coordinates[None]) < 1e-9) / math.sqrt(2))
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(points), 0))


def _find_nearest(sorted_values: Points, wanted: Points) -> NDArray[np.intp]:
    """Return the index of the nearest of some ascending values, for each of those wanted."""
    if len(sorted_values) == 1:
        return np.zeros(len(wanted), dtype=np.intp)
    right = np.clip(np.searchsorted(sorted_values, wanted), 1, len(sorted_values) - 1)
    is_left = np.abs(wanted - sorted_values[right - 1]) <= np.abs(sorted_values[right] - wanted)
    return np.asarray(right - is_left, dtype=np.intp)
