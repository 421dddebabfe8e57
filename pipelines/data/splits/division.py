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

    @property
    def name(self) -> str:
        """Name in that of the folder that holds the rows so divided.

        >>> [Division(5).name, Division(1).name, Division(1, holds_out=True).name, Division(holds_out=True).name]
        ['5-folds', 'refit', 'refit-held-out', 'held-out']
        """
        of_folds = [] if self.folds is None else ["refit" if self.folds == 1 else f"{self.folds}-folds"]
        return "-".join([*of_folds, *(["held-out"] if self.holds_out else [])])
