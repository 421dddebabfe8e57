"""The division of a study's rows into parts and folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.data.array_types import Array

LEFT_OUT: Final = "left out"


@dataclass(frozen=True)
class Split:
    """The part and fold of each row.

    Attributes:
        part: [row] `train`, `validation` or `test`; with folds `train` for every row that is not `test`. `left out`
            is no part: see `Division.holds_out` and `data.split.gap`.
        fold: [row] the fold that the row validates; -1 for rows that validate none, and everywhere without folds.
        folds: number of folds; 1 without cross-validation.
        notes: measures for classes with too few rows, and the order or the groups that the rows are divided by.
        trains_on_all: whether training uses the validation rows too.
        periods: [row] position in time of folds of which each is trained on earlier rows alone; None for other folds.
        gap: number of periods between these rows and those that a fold validates.
        reaches: [row] the last period whose values are in the row's target; None where that is the row's own.
    """

    part: Array
    fold: Array
    folds: int
    notes: tuple[str, ...] = ()
    trains_on_all: bool = False
    periods: Array | None = None
    gap: int = 0
    reaches: Array | None = None

    def select_rows(self, part: str, fold: int = 0) -> Array:
        """Return the row numbers of a part, in the source's order."""
        if self.trains_on_all and part == "train":
            return np.flatnonzero((self.part == "train") | (self.part == "validation"))
        if self.folds == 1 or part == "test":
            return np.flatnonzero(self.part == part)
        validates = self.fold == fold
        if part == "validation":
            return np.flatnonzero(validates)
        if self.periods is not None:
            first = self.periods[validates].min()
            is_early = self.periods < first - self.gap
            if self.reaches is not None:
                is_early &= self.reaches <= first
            return np.flatnonzero((self.part == "train") & is_early)
        # Test rows have the fold -1 and train nothing.
        return np.flatnonzero(~validates & (self.fold >= 0))
