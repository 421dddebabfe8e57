"""Columns that alone give the target, or hold it with few changes, and so may be known only after it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipelines.data.array_types import Array
from pipelines.data.columns.columns import Column
from pipelines.data.identifiers import IDENTIFIER_ROWS
from pipelines.data.targets.labels import Labels
from pipelines.data.targets.target_notes import simplify
from tracking.mlflow.cell_values import BOOLEANS

_LEAK_SHARE = 0.02  # of the errors that the commonest class makes
_LEAK_CORRELATION = 0.998
_SAME_SHARE = 0.5  # of the rows, from which a number is the target's copy with changes
_SAME_CLASS_SHARE = 0.8
_FEWEST_VALUES = 10  # of a regression's target: of fewer, many are equal by chance
_MOST_LEAK_ROWS = 20_000
_MOST_BINS, _ROWS_A_BIN = 64, 10


def explain_leaks(column: Column, labels: Labels, training: Array) -> str:
    """Return how well a column alone gives a target, the first of several; "" otherwise."""
    for each in labels.parts:
        if leak := explain_leak(column, each, training):
            return f'{leak}, of the target "{each.targets[0]}"' if each.output else leak
    return ""


def explain_leak(column: Column, labels: Labels, training: Array) -> str:
    """Return how well a column alone gives the target, if it gives nearly all of it; "" otherwise."""
    if labels.kind not in ("binary", "multiclass", "regression") or len(training) < IDENTIFIER_ROWS:
        return ""
    rows = training[:: max(1, len(training) // _MOST_LEAK_ROWS)]
    rows = rows[column.known[rows]]
    if len(rows) < max(IDENTIFIER_ROWS, len(training) // 10):
        return ""
    y = labels.y[rows]
    if labels.classes:
        return _explain_class_leak(column, y, rows) or _explain_same_classes(column, labels.classes, y, rows)
    return _explain_number_leak(column, y.ravel().astype(np.float64), rows)


def _explain_class_leak(column: Column, y: Array, rows: Array) -> str:
    values = column.values[rows]
    if not column.is_words and _is_cut_into_classes(values, y):
        return "gives the class in all training rows"
    groups = _group_values(values, rows)
    if groups is None:
        return ""
    counts = pd.crosstab(groups, y).to_numpy()
    wrong, without = len(y) - int(counts.max(axis=1).sum()), len(y) - int(np.bincount(y).max())
    if without == 0 or wrong > _LEAK_SHARE * without:
        return ""
    return f"gives the class in {1 - wrong / len(y):.1%} of the training rows"


def _explain_same_classes(column: Column, classes: Sequence[str], y: Array, rows: Array) -> str:
    """Return how often a column of words holds the row's class itself, as the answer of another model does."""
    names = [simplify(name) for name in classes]
    # Yes and no are the words of any question.
    if column.kind != "string" or all(name in BOOLEANS for name in names):
        return ""
    words = [simplify(word) for word in column.values[rows].tolist()]
    if not set(words) <= set(names):
        return ""
    share = float(np.mean([word == names[index] for word, index in zip(words, y.tolist(), strict=True)]))
    commonest = float(np.bincount(y).max() / len(y))
    if share < _SAME_CLASS_SHARE or share - commonest < (1 - commonest) / 2:
        return ""
    return f"holds the very class in {share:.1%} of the training rows"


def _is_cut_into_classes(values: Array, y: Array) -> bool:
    """Return whether each class has an interval of a number for itself."""
    pairs = pd.DataFrame({"value": values, "class": y}).drop_duplicates().sort_values("value")
    changes = int((np.diff(pairs["class"]) != 0).sum())
    # A value of two classes is in two pairs.
    return pairs["value"].is_unique and changes == len(np.unique(y)) - 1


def _group_values(values: Array, rows: Array) -> Array | None:
    """Return the group of each value: the value itself where there are few, else its place in the order."""
    groups, distinct = pd.factorize(values)
    if len(distinct) <= max(2, len(rows) // 10):
        return groups
    if values.dtype == object:
        return None
    # Bins of enough rows: with a few rows each, any number would give the class.
    bins = min(_MOST_BINS, len(rows) // _ROWS_A_BIN)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, values)


def _explain_number_leak(column: Column, y: Array, rows: Array) -> str:
    if column.is_words or np.ptp(y) == 0:
        return ""
    x = column.values[rows]
    if len(np.unique(x)) < 10 or np.ptp(x) == 0:
        return ""
    # A value that many rows have is equal by chance.
    others = y != pd.Series(y).mode().iloc[0]
    same = float(np.isclose(x, y, rtol=1e-5, atol=0)[others].mean())
    if len(np.unique(y)) >= _FEWEST_VALUES and others.mean() >= _SAME_SHARE and same >= _SAME_SHARE:
        return f"is equal to the target in {same:.1%} of the training rows"
    pairs = [("linearly", _correlate(x, y)), ("by its order", _correlate(_rank(x), _rank(y)))]
    best = next(((how, value) for how, value in pairs if value >= _LEAK_CORRELATION), None)
    return "" if best is None else f"gives the target {best[0]} (correlation {best[1]:.4f} in the training rows)"


def _rank(values: Array) -> Array:
    return pd.Series(values).rank().to_numpy()


def _correlate(x: Array, y: Array) -> float:
    return abs(float(np.corrcoef(x, y)[0, 1]))
