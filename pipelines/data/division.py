"""Division of a study's rows into parts, for the steps after its search."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Division:
    """Division of a study's rows in place of the declared one.

    Attributes:
        folds: so many folds of all rows but the test rows; with 1, training has all of them, the validation rows
            included. None leaves the declared parts.
        holds_out: whether half of the validation rows are the test part, and the test rows themselves are left out.
            Models of two divisions with it can be compared on these rows, without a look at the test rows.
    """

    folds: int | None = None
    holds_out: bool = False
