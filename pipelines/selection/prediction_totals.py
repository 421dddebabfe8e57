"""Summary of the predictions for many rows, from totals of batches: no row is kept.

Counts, means and sums are those of `prediction_summary`: exact, but for rounding. Three things differ, since they need
all rows at once:

* curves and areas are of probabilities in `_BINS` bins, even in their logit. Two rows of one bin count as equal, which
  moves an area by half the share of such pairs at the most;
* intervals are a bootstrap over `_GROUPS` groups, to which rows were assigned at random, and not over rows. They have
  its width on average, with a standard error of (2 * 400)^-0.5 = 3.5 % from the number of groups;
* the residuals that are drawn are of another random sample.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipelines.data.array_types import Array
from pipelines.selection.prediction_summary import (
    CALIBRATION_BINS,
    MOST_CLASSES,
    MOST_LABELS_WITH_CURVES,
    MOST_OUTPUTS,
    MOST_RESIDUALS,
    ROC_POINTS,
    SHARES_OF_ROWS,
    choose_outputs,
    compute_calibration_error,
    compute_macro_f1,
    compute_share_interval,
    find_confidence,
    trace_curve,
)

Totals = Mapping[str, Array]
"""Sums by name, of all rows or of those that a bootstrap has drawn."""

_BINS: Final = 2048
_LOGITS: Final = (-40.0, 17.4)  # float32 has no probability closer to 1 than a logit of 17.33; chosen, the lower one
_GROUPS: Final = 400
_METHOD: Final = f"bootstrap over {_GROUPS} random groups of rows"
_RESAMPLES: Final = 400
_TOGETHER: Final = 40  # resamples in one product of matrices
_MOST_AREAS: Final = 4  # classes whose mean area has an interval: 6.6 MB each
_MOST_ROWS: Final = 200_000  # chosen: whole rows take up to 100 bytes each, and are drawn again a hundred times
_MOST_VALUES: Final = 1_000_000  # chosen


def has_many(rows: int, width: int) -> bool:
    """Return whether predictions are too many to be summed up as whole arrays; `width` is that of a row."""
    return rows > _MOST_ROWS or rows * width > _MOST_VALUES


class PredictionTotals(ABC):
    """Totals of the predictions for one part's rows, which come in batches.

    Args:
        rows: number of rows of the part.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._seen = 0
        self._random = np.random.default_rng(0)
        self._sums: dict[str, Array] = {}
        self._has_losses = True

    def add(self, y: Array, predictions: Array, losses: Array | None) -> None:
        """Add a batch of targets and predictions, in the form that the summary for the kind takes.

        Args:
            y: targets of the rows.
            predictions: of the rows.
            losses: loss of each row; None where it is not known.
        """
        group = self._random.integers(0, _GROUPS, len(y))
        self._add_sum("rows", group, np.ones(len(y)))
        if losses is None:
            self._has_losses = False
        else:
            self._add_sum("loss", group, losses)
        self._add(y, predictions, group)
        self._seen += len(y)

    def summarize(self) -> dict[str, Any]:
        """Return the summary of all rows so far."""
        totals = {name: each.sum(axis=0, dtype=np.float64) for name, each in self._sums.items()}
        measures = self._list_measures()
        if self._has_losses:
            measures["loss"] = lambda sums: float(sums["loss"] / sums["rows"])
        further, shown = self._describe(totals)
        metrics = {**{name: measure(totals) for name, measure in measures.items()}, **further}
        found = {name: value for name, value in metrics.items() if np.isfinite(value)}
        intervals = self._draw(measures, metrics)
        return {"rows": self._seen, "metrics": found, "intervals": intervals, "method": _METHOD, **shown}

    @abstractmethod
    def _add(self, y: Array, predictions: Array, group: Array) -> None: ...

    @abstractmethod
    def _list_measures(self) -> dict[str, Callable[[Totals], float]]: ...

    @abstractmethod
    def _describe(self, totals: Totals) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        """Return metrics without an interval, and what is drawn."""

    def _add_sum(self, name: str, group: Array, values: Array) -> None:
        """Add values [row] to the sums of their groups."""
        found = np.bincount(group, weights=values, minlength=_GROUPS)
        self._sums[name] = self._sums.get(name, 0.0) + found

    def _draw(
        self, measures: Mapping[str, Callable[[Totals], float]], metrics: Mapping[str, float]
    ) -> dict[str, tuple[float, float]]:
        drawn: dict[str, list[float]] = {name: [] for name in measures if name not in SHARES_OF_ROWS}
        for totals in self._resample() if drawn else ():
            for name, values in drawn.items():
                values.append(measures[name](totals))
        intervals = {
            name: compute_share_interval(metrics[name], self._seen) for name in measures if name in SHARES_OF_ROWS
        }
        for name, values in drawn.items():
            low, high = np.nanpercentile(values, (2.5, 97.5)) if np.isfinite(values).any() else (0.0, 0.0)
            if low < high:
                intervals[name] = (float(low), float(high))
        return intervals

    def _resample(self) -> Iterator[Totals]:
        """Yield the sums of as many groups as there are, drawn with replacement."""
        chance = np.random.default_rng(0)
        for _ in range(0, _RESAMPLES, _TOGETHER):
            weights = chance.multinomial(_GROUPS, np.full(_GROUPS, 1 / _GROUPS), size=_TOGETHER)
            drawn = {name: np.tensordot(weights.astype(each.dtype), each, 1) for name, each in self._sums.items()}
            for index in range(_TOGETHER):
                yield {name: each[index] for name, each in drawn.items()}


class ClassTotals(PredictionTotals):
    """Totals for classes: targets are indexes [row], predictions probabilities [row, class]."""

    def __init__(self, rows: int, classes: Sequence[str]) -> None:
        super().__init__(rows)
        self._classes, count = classes, len(classes)
        self._curves = [1] if count == 2 else list(range(min(count, MOST_LABELS_WITH_CURVES)))
        self._has_area = count <= _MOST_AREAS
        self._confusion = np.zeros((count, count), np.int64)
        self._calibration = _Calibration()
        # In groups where the area has an interval. Counts of a group and a bin are exact below 2^24.
        groups = _GROUPS if self._has_area else 1
        self._scores = np.zeros((groups, len(self._curves), 2, _BINS), np.float32 if self._has_area else np.float64)
        if self._has_area:
            self._sums["scores"] = self._scores
        self._sums["of_class"], self._sums["right"] = (np.zeros((_GROUPS, count), np.float32) for _ in range(2))

    def _add(self, y: Array, predictions: Array, group: Array) -> None:
        guessed = predictions.argmax(axis=1)
        right = guessed == y
        np.add.at(self._confusion, (y, guessed), 1)
        np.add.at(self._sums["of_class"], (group, y), 1)
        np.add.at(self._sums["right"], (group[right], y[right]), 1)
        self._calibration.add(*find_confidence(y, predictions, right))
        places = group if self._has_area else np.zeros_like(group)
        for index, each in enumerate(self._curves):
            row = places * len(self._curves) + index
            _count_scores(self._scores, row, y == each, predictions[:, each])

    def _list_measures(self) -> dict[str, Callable[[Totals], float]]:
        found: dict[str, Callable[[Totals], float]] = {
            "accuracy": lambda sums: float(sums["right"].sum() / sums["rows"]),
            "balanced_accuracy": _compute_balanced_accuracy,
        }
        return {**found, "auc": _compute_mean_area} if self._has_area else found

    def _describe(self, totals: Totals) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        calibration = self._calibration.list_bins()
        scores = dict(zip(self._curves, self._scores.sum(axis=0, dtype=np.float64), strict=True))
        named = {self._classes[each]: counts for each, counts in scores.items()}
        further = {
            "calibration_error": compute_calibration_error(calibration),
            "f1_macro": compute_macro_f1(self._confusion),
        }
        shown = {
            "confusion": self._confusion.tolist() if len(self._classes) <= MOST_CLASSES else [],
            **_describe_curves(named),
            "calibration": calibration,
        }
        return further, shown


class LabelTotals(PredictionTotals):
    """Totals for labels: targets [row, label] are 0 or 1, predictions probabilities likewise."""

    def __init__(self, rows: int, labels: Sequence[str]) -> None:
        super().__init__(rows)
        self._labels = labels[:MOST_LABELS_WITH_CURVES]
        self._calibration = _Calibration()
        self._scores = np.zeros((len(self._labels), 2, _BINS))

    def _add(self, y: Array, predictions: Array, group: Array) -> None:
        has = y >= 0.5
        self._calibration.add(predictions.ravel(), has.ravel())
        self._add_sum("right", group, ((predictions >= 0.5) == has).mean(axis=1))
        for index in range(len(self._labels)):
            _count_scores(self._scores[index], 0, has[:, index], predictions[:, index])

    def _list_measures(self) -> dict[str, Callable[[Totals], float]]:
        return {"binary_accuracy": lambda sums: float(sums["right"] / sums["rows"])}

    def _describe(self, totals: Totals) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        calibration = self._calibration.list_bins()
        curves = _describe_curves(dict(zip(self._labels, self._scores, strict=True)))
        return {"calibration_error": compute_calibration_error(calibration)}, {**curves, "calibration": calibration}


class NumberTotals(PredictionTotals):
    """Totals for a regression: targets and predictions are [row, output]."""

    def __init__(self, rows: int, names: Sequence[str]) -> None:
        super().__init__(rows)
        self._names = names
        # `choice` holds no more than it draws here, where a permutation would hold all rows.
        self._chosen = np.sort(np.random.default_rng(0).choice(rows, min(rows, MOST_RESIDUALS), replace=False))
        self._residuals: dict[int, list[tuple[float, float]]] = {
            each: [] for each in choose_outputs(len(names), MOST_OUTPUTS)
        }
        self._origin: Array | None = None
        self._sums["y"], self._sums["squares"] = (np.zeros((_GROUPS, len(names))) for _ in range(2))

    def _add(self, y: Array, predictions: Array, group: Array) -> None:
        values = y.astype(np.float64)
        errors = values - predictions
        self._add_sum("errors", group, errors.mean(axis=1))
        self._add_sum("absolute", group, np.abs(errors).mean(axis=1))
        self._add_sum("squared", group, (errors**2).mean(axis=1))
        # Near the values, so that the difference of two sums of squares keeps its digits.
        self._origin = values.mean(axis=0) if self._origin is None else self._origin
        shifted = values - self._origin
        np.add.at(self._sums["y"], group, shifted)
        np.add.at(self._sums["squares"], group, shifted**2)
        start, stop = np.searchsorted(self._chosen, (self._seen, self._seen + len(y)))
        for row in self._chosen[start:stop] - self._seen:
            for each, pairs in self._residuals.items():
                pairs.append((float(predictions[row, each]), float(y[row, each])))

    def _list_measures(self) -> dict[str, Callable[[Totals], float]]:
        return {
            "mean_absolute_error": lambda sums: float(sums["absolute"] / sums["rows"]),
            "mean_squared_error": lambda sums: float(sums["squared"] / sums["rows"]),
            "root_mean_squared_error": lambda sums: float(np.sqrt(sums["squared"] / sums["rows"])),
            "r2_score": self._compute_r2,
        }

    def _compute_r2(self, sums: Totals) -> float:
        spread = float((sums["squares"] - sums["y"] ** 2 / sums["rows"]).sum())
        return float(1 - sums["squared"] * len(self._names) / spread) if spread > 0 else float("nan")

    def _describe(self, totals: Totals) -> tuple[Mapping[str, float], Mapping[str, Any]]:
        residuals = {self._names[each]: pairs for each, pairs in self._residuals.items()}
        return {"bias": float(totals["errors"] / totals["rows"])}, {"residuals": residuals}


class _Calibration:
    """Rows, hits and probabilities by the bin of their probability."""

    def __init__(self) -> None:
        self._sums = np.zeros((3, CALIBRATION_BINS))

    def add(self, confidence: Array, hit: Array) -> None:
        bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        for index, values in enumerate((confidence, hit, np.ones(len(bins)))):
            self._sums[index] += np.bincount(bins, weights=values, minlength=CALIBRATION_BINS)

    def list_bins(self) -> list[tuple[float, float, int]]:
        return [(float(sums / rows), float(hits / rows), int(rows)) for sums, hits, rows in self._sums.T if rows]


def _count_scores(counts: Array, place: Array | int, having: Array, shares: Array) -> None:
    """Count rows by their place, whether they have a class, and the bin of its probability, [place, 2, bin]."""
    np.add.at(counts.reshape(-1), (2 * place + having) * _BINS + _find_bins(shares), 1)


def _find_bins(shares: Array) -> Array:
    """Return the bin of each probability; bins are in the order of probabilities."""
    exact = np.clip(shares.astype(np.float64), 0.0, 1.0)
    with np.errstate(divide="ignore"):
        logits = np.log(exact) - np.log1p(-exact)
    low, high = _LOGITS
    places: Array = ((np.clip(logits, low, high) - low) * ((_BINS - 1) / (high - low))).astype(int)
    return places


def _describe_curves(scores: Mapping[str, Array]) -> dict[str, Any]:
    """Return curves and areas, given the rows without and with a class in each bin [2, bin]."""
    known = {name: counts for name, counts in scores.items() if counts.sum(axis=1).all()}
    roc = {}
    for name, counts in known.items():
        below = np.cumsum(counts[:, ::-1], axis=1)
        rows = below.sum(axis=0)
        # As far apart in rows, not in bins.
        ends = np.unique(np.searchsorted(rows, np.linspace(rows[rows > 0][0], rows[-1], ROC_POINTS)))
        without, having = (each[ends] / each[-1] for each in below)
        roc[name] = trace_curve(having, without)
    return {"roc": roc, "auc": {name: _compute_area(counts) for name, counts in known.items()}}


def _compute_area(counts: Array) -> float:
    """Return the area below the ROC: the share of pairs in the right order, where a tie counts half."""
    without, having = counts.astype(np.float64)
    pairs = without.sum() * having.sum()
    below = np.cumsum(without) - without
    return float((having * (below + without / 2)).sum() / pairs) if pairs else float("nan")


def _compute_mean_area(sums: Totals) -> float:
    known = [area for counts in sums["scores"] if np.isfinite(area := _compute_area(counts))]
    return float(np.mean(known)) if known else float("nan")


def _compute_balanced_accuracy(sums: Totals) -> float:
    rows, right = sums["of_class"].astype(np.float64), sums["right"].astype(np.float64)
    known = rows > 0
    return float((right[known] / rows[known]).mean())
