"""Mean area below the ROC of each class against the rest, fast enough for a bootstrap: rows are sorted once."""

from __future__ import annotations

import numpy as np

from pipelines.data.array_types import Array


class ClassAreas:
    """Areas of some rows' predictions.

    Args:
        y: index of each row's class [row].
        shares: predicted probabilities [row, class].
    """

    def __init__(self, y: Array, shares: Array) -> None:
        self._rows = len(y)
        self._classes = []
        for each in range(shares.shape[1]):
            order = np.argsort(shares[:, each], kind="stable")
            scores = shares[order, each]
            starts = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
            self._classes.append((order, (y == each)[order], starts))

    def average(self, rows: Array) -> float:
        """Return the mean area over the classes that some of these rows have and some have not; NaN where none is.

        Args:
            rows: indexes of rows, each as often as it counts.
        """
        counts = np.bincount(rows, minlength=self._rows).astype(np.float64)
        found = [self._measure(counts[order], is_of_class, starts) for order, is_of_class, starts in self._classes]
        known = [area for area in found if np.isfinite(area)]
        return float(np.mean(known)) if known else float("nan")

    def _measure(self, counts: Array, is_of_class: Array, starts: Array) -> float:
        """Return the area of one class: the share of pairs in the right order, where a tie counts half."""
        positive = np.add.reduceat(counts * is_of_class, starts)
        negative = np.add.reduceat(counts, starts) - positive
        pairs = positive.sum() * negative.sum()
        below = np.cumsum(negative) - negative
        return float((positive * (below + negative / 2)).sum() / pairs) if pairs else float("nan")
