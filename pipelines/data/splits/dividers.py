"""Ways to divide rows: at random within their classes, in an order such as time, or by groups."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.targets.labels import Labels
from pipelines.spec.data_spec import SplitSpec
from search_spaces.errors import InputError, Problem

RARE_ROWS = 10  # chosen; smaller classes could lose all their rows to the other parts


class RowDivider(ABC):
    """One way to divide rows."""

    notes: tuple[str, ...] = ()

    @abstractmethod
    def pick(self, rows: Array, count: int, key: str) -> Array:
        """Return about `count` of some rows, as a part of their own.

        Raises:
            InputError: if no row would be left; `key` names the part's share.
        """

    @abstractmethod
    def assign_folds(self, rows: Array, folds: int, key: str) -> Array:
        """Return for each of some rows the fold that it validates, -1 for none.

        Raises:
            InputError: if there are too few rows for it; `key` names the number of folds.
        """

    def find_gap(self, rows: Array, picked: Array) -> Array:
        """Return those of some rows that belong to no part, because they are too near to the picked ones."""
        return rows[:0]


class RandomDivider(RowDivider):
    """Rows at random, and evenly spread over their classes.

    A class's share of a part differs from its share of all rows by less than one row: rows are put in random order
    within their class, classes one after the other, and a part takes evenly spaced positions of that order. One row of
    every class of fewer than 10 rows is kept for training.
    """

    def __init__(self, labels: Labels, free: Array, split: SplitSpec) -> None:
        self._labels = labels.strata
        self._split = split
        self._random = np.random.default_rng(split.seed)
        self._strata, self.notes = self._assign_strata(labels, free)

    def pick(self, rows: Array, count: int, key: str) -> Array:
        """See `RowDivider`."""
        left = rows[self._strata[rows] >= 0]
        if count >= len(left):
            raise InputError(Problem(f"{len(rows)} rows are too few to take {count} of them", key))
        ordered = self._shuffle(left)
        # The factor below 1 prevents that rounding makes one step too many.
        steps = np.floor((np.arange(len(left) + 1) * count) / len(left) + self._random.random() * (1 - 1e-9))
        return ordered[np.diff(steps) > 0]

    def assign_folds(self, rows: Array, folds: int, key: str) -> Array:
        """See `RowDivider`."""
        if folds > len(rows):
            message = f"{folds} folds need at least {folds} rows that are not test rows, got {len(rows)}"
            raise InputError(Problem(message, key))
        if self._split.stratify and self._labels.classes:
            self._check_rarest(rows, folds, key)
        # Dealing out rows in the order of their classes spreads each class evenly over the folds.
        ordered = self._shuffle(rows)
        fold = np.full(len(self._labels.y), -1)
        fold[ordered] = np.arange(len(ordered)) % folds
        return fold[rows]

    def _check_rarest(self, rows: Array, folds: int, key: str) -> None:
        counts = np.bincount(self._labels.y[rows], minlength=len(self._labels.classes))
        rarest = int(counts.argmin())
        if counts[rarest] < folds:
            name, target = self._labels.classes[rarest], self._labels.targets[0]
            # Without stratification a class of one row is missing in the fold that validates it.
            fewer = f"use at most {counts[rarest]} folds, or " if counts[rarest] > 1 else ""
            message = (
                f"{folds} folds need {folds} rows of every class that are not test rows, but class "
                f'"{name}" has {counts[rarest]}; {fewer}leave its rows out, or join it to another class by '
                f"data.columns.{target}.replace"
            )
            raise InputError(Problem(message, key))

    def _assign_strata(self, labels: Labels, free: Array) -> tuple[Array, tuple[str, ...]]:
        """Return per row its stratum, -1 if training needs the row; and notes."""
        strata, notes = np.zeros(len(labels.y), dtype=np.int64), list[str]()
        if self._split.stratify and self._labels.classes:
            strata = self._labels.y.astype(np.int64)
        for part in labels.parts:
            if not part.classes:
                continue
            counts = np.bincount(part.y[free], minlength=len(part.classes))
            for index in np.flatnonzero((counts > 0) & (counts < RARE_ROWS)):
                strata[self._random.choice(free[part.y[free] == index])] = -1
            single = np.flatnonzero(counts == 1)
            named = ", ".join(f'"{part.classes[index]}"' for index in single[:10])
            of = f' of "{part.targets[0]}"' if part.output else ""
            notes += [f"classes{of} with a single row, kept for training: {named}"] if len(single) else []
        return strata, tuple(notes)

    def _shuffle(self, rows: Array) -> Array:
        shuffled = self._random.permutation(len(rows))
        # Stable: the order within a class stays random.
        return rows[shuffled[np.argsort(self._strata[rows][shuffled], kind="stable")]]


@dataclass
class OrderedDivider(RowDivider):
    """Rows in an order, such as time: a part takes the last ones, and rows of one period are never divided.

    Args:
        periods: [row] position of the row's value among the distinct values of the order.
        gap: number of periods that are left out before a part.
        reaches: [row] the last period whose values are in the row's target; None where that is the row's own.
    """

    periods: Array
    gap: int = 0
    reaches: Array | None = None

    def pick(self, rows: Array, count: int, key: str) -> Array:
        """See `RowDivider`."""
        periods = self.periods[rows]
        distinct, counts = np.unique(periods, return_counts=True)
        if len(distinct) < 2:
            message = f"{len(rows)} rows are left to divide, and all have one value of data.split.order"
            raise InputError(Problem(message, key))
        # Rows from each period on; the first period stays where it is.
        after = counts[::-1].cumsum()[::-1][1:]
        first = distinct[1:][np.abs(after - count).argmin()]
        picked: Array = rows[periods >= first]
        return picked

    def find_gap(self, rows: Array, picked: Array) -> Array:
        """See `RowDivider`."""
        periods, first = self.periods[rows], self.periods[picked].min()
        is_near = periods >= first - self.gap
        if self.reaches is not None:
            # Series of different steps: a target may reach further than the gap.
            is_near |= self.reaches[rows] > first
        between: Array = rows[(periods < first) & is_near]
        return between

    def assign_folds(self, rows: Array, folds: int, key: str) -> Array:
        """See `RowDivider`; the first of `folds + 1` blocks in order validates no fold (scikit-learn's way)."""
        distinct, index, counts = np.unique(self.periods[rows], return_inverse=True, return_counts=True)
        middle = counts.cumsum() - counts / 2
        block = np.floor(middle / counts.sum() * (folds + 1)).astype(np.int64)
        if len(np.unique(block)) <= folds:
            message = f"{folds} folds in order need {folds + 1} periods of about as many rows, got {len(distinct)}"
            raise InputError(Problem(f"{message}; use fewer folds", key))
        fold: Array = block[index] - 1
        return fold


@dataclass
class GroupDivider(RowDivider):
    """Rows by groups, none of which is divided; classes are spread evenly (scikit-learn's `StratifiedGroupKFold`).

    Args:
        groups: [row] number of the row's group.
        classes: [row] class that is to be spread evenly; all 0 for none.
        seed: see `SplitSpec`.
    """

    groups: Array
    classes: Array
    seed: int

    def pick(self, rows: Array, count: int, key: str) -> Array:
        """See `RowDivider`."""
        groups = len(np.unique(self.groups[rows]))
        if groups < 2:
            raise InputError(Problem(f"{len(rows)} rows are left to divide, and all are of one group", key))
        folds = min(groups, max(2, round(len(rows) / count)))
        fold = self.assign_folds(rows, folds, key)
        sizes = np.bincount(fold, minlength=folds)
        picked: Array = rows[fold == np.abs(sizes - count).argmin()]
        return picked

    def assign_folds(self, rows: Array, folds: int, key: str) -> Array:
        """See `RowDivider`."""
        from sklearn.model_selection import StratifiedGroupKFold  # takes a second

        groups = len(np.unique(self.groups[rows]))
        if folds > groups:
            message = f"{folds} folds need at least {folds} groups that are not in the test part, got {groups}"
            raise InputError(Problem(message, key))
        classes = self.classes[rows]
        # scikit-learn refuses more folds than the commonest class has rows.
        if np.unique(classes, return_counts=True)[1].max() < folds:
            classes = np.zeros(len(rows), dtype=np.int64)
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=self.seed)
        fold = np.full(len(rows), -1)
        with warnings.catch_warnings():
            # About classes in fewer rows than folds, which `check_parts` reports where it matters.
            warnings.simplefilter("ignore")
            for number, (_, validates) in enumerate(splitter.split(rows, classes, self.groups[rows])):
                fold[validates] = number
        return fold
