"""Summary of predictions for a report: confusion, ROC, calibration, residuals, and intervals.

Plain NumPy, so that it can be tested without Keras. Rows count alike, whatever weights they have. Predictions of many
rows are summed up by `prediction_totals`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np

from pipelines.data.array_types import Array
from pipelines.selection.class_areas import ClassAreas

SummaryKind = Literal["classes", "labels", "numbers"]
CALIBRATION_BINS: Final = 10
MOST_RESIDUALS: Final = 500
MOST_OUTPUTS: Final = 8
MOST_CLASSES: Final = 100
MOST_LABELS_WITH_CURVES: Final = 20
ROC_POINTS: Final = 60
_RESAMPLES: Final = 400
_MOST_DRAWS: Final = 20_000_000  # numbers that a bootstrap draws: seconds

SHARES_OF_ROWS: Final = ("accuracy", "binary_accuracy")
"""Metrics that are shares of rows."""

Measure = Callable[[Array], float]
"""A metric of the rows with these indexes."""


def summarize_classes(y: Array, shares: Array, classes: Sequence[str], losses: Array | None = None) -> dict[str, Any]:
    """Return the summary for classes.

    Args:
        y: index of each row's class [row].
        shares: predicted probabilities [row, class].
        classes: names of the classes.
        losses: loss of each row; None where it is not known.
    """
    guessed = shares.argmax(axis=1)
    right = guessed == y
    count = len(classes)
    measures: dict[str, Measure] = {
        "accuracy": lambda rows: float(right[rows].mean()),
        "balanced_accuracy": lambda rows: _compute_balanced_accuracy(y[rows], right[rows]),
    }
    curves = [1] if count == 2 else range(min(count, MOST_LABELS_WITH_CURVES))
    roc = {classes[each]: _trace_roc(y == each, shares[:, each]) for each in curves}
    auc = {classes[each]: compute_auc(y == each, shares[:, each]) for each in curves}
    if count == 2:
        measures["auc"] = lambda rows: compute_auc(y[rows] == 1, shares[rows, 1])
    else:
        measures["auc"] = ClassAreas(y, shares).average
    calibration = _calibrate(*find_confidence(y, shares, right))
    confusion = np.zeros((count, count), dtype=np.int64)
    np.add.at(confusion, (y, guessed), 1)
    metrics = {"calibration_error": compute_calibration_error(calibration), "f1_macro": compute_macro_f1(confusion)}
    return {
        **_measure(len(y), _add_loss(measures, losses), metrics),
        "confusion": confusion.tolist() if count <= MOST_CLASSES else [],
        "roc": {name: curve for name, curve in roc.items() if curve},
        "auc": {name: value for name, value in auc.items() if np.isfinite(value)},
        "calibration": calibration,
    }


def find_confidence(y: Array, shares: Array, right: Array) -> tuple[Array, Array]:
    """Return the probability of each row that is calibrated, and whether it came true.

    Of two classes that of the second, of more that of the chosen one.
    """
    return (shares[:, 1], y == 1) if shares.shape[1] == 2 else (shares.max(axis=1), right)


def summarize_labels(y: Array, shares: Array, labels: Sequence[str], losses: Array | None = None) -> dict[str, Any]:
    """Return the summary for labels, each 0 or 1: `y` and `shares` are [row, label]."""
    right = (shares >= 0.5) == (y >= 0.5)
    shown = range(min(len(labels), MOST_LABELS_WITH_CURVES))
    calibration = _calibrate(shares.ravel(), y.ravel() >= 0.5)
    measures: dict[str, Measure] = {"binary_accuracy": lambda rows: float(right[rows].mean())}
    return {
        **_measure(len(y), _add_loss(measures, losses), {"calibration_error": compute_calibration_error(calibration)}),
        "roc": {labels[each]: curve for each in shown if (curve := _trace_roc(y[:, each] >= 0.5, shares[:, each]))},
        "auc": {
            labels[each]: value
            for each in shown
            if np.isfinite(value := compute_auc(y[:, each] >= 0.5, shares[:, each]))
        },
        "calibration": calibration,
    }


def summarize_numbers(y: Array, predicted: Array, names: Sequence[str], losses: Array | None = None) -> dict[str, Any]:
    """Return the summary for a regression: `y` and `predicted` are [row, output]."""
    errors = y.astype(np.float64) - predicted
    measures: dict[str, Measure] = {
        "mean_absolute_error": lambda rows: float(np.abs(errors[rows]).mean()),
        "mean_squared_error": lambda rows: float((errors[rows] ** 2).mean()),
        "root_mean_squared_error": lambda rows: float(np.sqrt((errors[rows] ** 2).mean())),
        "r2_score": lambda rows: _compute_r2(y[rows], errors[rows]),
    }
    chosen = np.random.default_rng(0).permutation(len(y))[:MOST_RESIDUALS]
    return {
        **_measure(len(y), _add_loss(measures, losses), {"bias": float(errors.mean())}),
        "residuals": {
            names[each]: [(float(predicted[row, each]), float(y[row, each])) for row in chosen]
            for each in choose_outputs(len(names), MOST_OUTPUTS)
        },
    }


def choose_outputs(count: int, most: int) -> list[int]:
    """Return some of several places, the first and the last among them, such as the steps of a forecast."""
    return [round(float(place)) for place in np.linspace(0, count - 1, min(count, most))]


def compute_auc(positive: Array, scores: Array) -> float:
    """Return the area below the ROC, by ranks with ties shared; NaN where one side has no row."""
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def _add_loss(measures: dict[str, Measure], losses: Array | None) -> dict[str, Measure]:
    return measures if losses is None else {**measures, "loss": lambda rows: float(losses[rows].mean())}


def _measure(rows: int, measures: Mapping[str, Measure], further: Mapping[str, float]) -> dict[str, Any]:
    everything = np.arange(rows)
    metrics = {name: measure(everything) for name, measure in measures.items()}
    chance = np.random.default_rng(0)
    times = max(100, min(_RESAMPLES, _MOST_DRAWS // max(1, rows)))
    drawn: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(times if rows > 1 else 0):
        chosen = chance.integers(0, rows, rows)
        for name, measure in measures.items():
            drawn[name].append(measure(chosen))
    intervals = {}
    for name, values in drawn.items():
        if name in SHARES_OF_ROWS:
            intervals[name] = compute_share_interval(metrics[name], rows)
            continue
        # A sample may lack a class, and has no area then.
        finite = [value for value in values if np.isfinite(value)]
        low, high = np.percentile(finite, (2.5, 97.5)) if len(finite) >= 50 else (0.0, 0.0)
        # Equal where all samples are: an area of 1 in each of them does not make it sure.
        if low < high:
            intervals[name] = (float(low), float(high))
    found = {name: value for name, value in {**metrics, **further}.items() if np.isfinite(value)}
    return {"rows": rows, "metrics": found, "intervals": intervals}


def compute_share_interval(share: float, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of rows, by Wilson's formula.

    A bootstrap would give an accuracy of 1 an interval without width, on however few rows.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    z = 1.959964
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _trace_roc(positive: Array, scores: Array) -> list[tuple[float, float]]:
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return []
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)  # rows of one score are one step
    up, across = np.cumsum(positive[order])[ends] / count, np.cumsum(~positive[order])[ends] / others
    return trace_curve(up, across)


def trace_curve(up: Array, across: Array) -> list[tuple[float, float]]:
    """Return some points of a ROC, false and true positive rate, given both rates after each score, highest first."""
    chosen = np.unique(np.linspace(0, len(up) - 1, min(len(up), ROC_POINTS)).round().astype(int))
    return [(0.0, 0.0), *((round(float(across[each]), 4), round(float(up[each]), 4)) for each in chosen)]


def _calibrate(confidence: Array, hit: Array) -> list[tuple[float, float, int]]:
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    found = []
    for each in range(CALIBRATION_BINS):
        inside = bins == each
        if inside.any():
            found.append((float(confidence[inside].mean()), float(hit[inside].mean()), int(inside.sum())))
    return found


def compute_calibration_error(calibration: Sequence[tuple[float, float, int]]) -> float:
    """Return the expected calibration error: the mean distance of confidence and share, weighted by rows."""
    total = sum(count for _, _, count in calibration)
    return sum(abs(confidence - share) * count for confidence, share, count in calibration) / max(1, total)


def _compute_balanced_accuracy(y: Array, right: Array) -> float:
    """Return the mean over the classes that have rows of the share that is predicted right."""
    rows = np.bincount(y)
    known = rows > 0
    return float((np.bincount(y, weights=right)[known] / rows[known]).mean())


def compute_macro_f1(confusion: Array) -> float:
    """Return the mean F1 score of the classes that some row has, or is predicted to have."""
    right = np.diag(confusion)
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    known = total > 0
    return float((2 * right[known] / total[known]).mean()) if known.any() else float("nan")


def _compute_r2(y: Array, errors: Array) -> float:
    spread = ((y - y.mean(axis=0)) ** 2).sum()
    return float(1 - (errors**2).sum() / spread) if spread > 0 else float("nan")
