"""Standard error of a score over validation rows, by the metric and by the rows of each class.

A metric in which each class counts alike is as noisy as its rarest class, however many rows the others have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pipelines.data.prepared import DataSummary, Task
from pipelines.data.report import TargetReport
from pipelines.models.head_objectives import find_head_metric
from pipelines.models.objectives import is_share, strip_prefixes

_ERRORS: Final = ("_error", "loss", "_crossentropy", "_hinge", "logcosh")
_ENTROPIES: Final = ("loss", "crossentropy")
_LEAST_WRONG: Final = 1e-12
_OF_RATES: Final = ("balanced_accuracy", "f1_score", "mean_iou")
_OF_THE_SECOND: Final = ("precision", "recall", "f1_score")
_NEARLY_ALL: Final = 0.9


@dataclass(frozen=True)
class RowCounts:
    """Rows that a score is of.

    Attributes:
        total: number of rows; with folds of all of them.
        classes: rows of each class, or with each label; empty where there are none.
        has_labels: whether these are labels, of which a row may have several.
    """

    total: int
    classes: tuple[int, ...] = ()
    has_labels: bool = False

    def describe(self, metric: str) -> str:
        """Return the number of rows in words, with those of the class that decides the noise, where one does.

        >>> RowCounts(2000, (1950, 50)).describe("val_auc")
        '2,000 rows, 50 of the rarest class,'
        """
        counts = [count for count in self.classes if count]
        if not counts or compute_effective_rows(metric, self) > _NEARLY_ALL * self.total:
            return f"{self.total:,} rows"
        if self.is_of_second(metric):
            return f"{self.total:,} rows, {self.classes[1]:,} of the second class,"
        which = "with the rarest label" if self.has_labels else "of the rarest class"
        return f"{self.total:,} rows, {min(counts):,} {which},"

    def halve(self) -> RowCounts:
        """Return the counts of half of the rows, drawn at random.

        >>> RowCounts(101, (60, 41)).halve()
        RowCounts(total=50, classes=(30, 20), has_labels=False)
        """
        return replace(self, total=self.total // 2, classes=tuple(count // 2 for count in self.classes))

    def is_of_second(self, metric: str) -> bool:
        """Return whether a metric is about the second of two classes, as Keras counts positives."""
        return len(self.classes) == 2 and not self.has_labels and metric.endswith(_OF_THE_SECOND)


def count_validation_rows(summary: DataSummary, metric: str) -> RowCounts:
    """Return the validation rows that a metric is of; those of a head where it is a head's."""
    rows = summary.rows.get("validation", 0)
    found = find_head_metric(summary.task, metric)
    counts = _count_classes(summary, summary.task if found is None else found.head, rows)
    return RowCounts(
        rows * summary.folds,
        tuple(count * summary.folds for count in counts),
        has_labels=summary.task.kind == "multi_label",
    )


def _count_classes(summary: DataSummary, task: Task, rows: int) -> list[int]:
    reports = {each.name: each for each in summary.report.targets} if summary.report else {}
    if task.kind == "multi_label":
        return [
            round(reports.get(name, TargetReport(name)).mean.get("validation", 0.0) * rows) for name in task.targets
        ]
    found = reports.get(", ".join(task.targets))
    if task.kind not in ("binary", "multiclass") or found is None:
        return []
    return [found.classes.get(name, {}).get("validation", 0) for name in task.classes]


def estimate_noise(metric: str, value: float, counts: RowCounts) -> float | None:
    """Return the standard error of a score; None where it is not known.

    Nothing is known of other metrics, and of a score that its metric's name does not allow, such as one in per cent.

    Of a share it is the binomial one, after Agresti and Coull ("Approximate is better than exact", 1998), so that a
    score of 1 has one too, over its effective rows; of a mean error that of a root mean square of normal errors,
    value / sqrt(2 rows); of a loss of classes see `_compute_entropy_deviation`.

    >>> cases = ("val_accuracy", 0.95, ()), ("val_loss", 2.0, ()), ("val_loss", 0.1, (50, 50))
    >>> [round(estimate_noise(metric, value, RowCounts(100, classes)), 4) for metric, value, classes in cases]
    [0.0246, 0.1414, 0.0548]
    """
    if counts.total < 1:
        return None
    if is_share(metric, [value]):
        rows = compute_effective_rows(metric, counts)
        share = (min(max(value, 0.0), 1.0) * rows + 2) / (rows + 4)
        return math.sqrt(share * (1 - share) / (rows + 4))
    if not metric.endswith(_ERRORS) or not 0 <= value < math.inf:
        return None
    deviation = value / math.sqrt(2)
    if metric.endswith(_ENTROPIES) and (counts.classes or not metric.endswith("loss")):
        deviation = max(deviation, _compute_entropy_deviation(value))
    return deviation / math.sqrt(counts.total)


def _compute_entropy_deviation(value: float) -> float:
    """Return the standard deviation over rows of a cross-entropy with this mean, in nats.

    Few rows have most of a small one. The model is taken to be wrong with one probability on all rows, the one that has
    this mean, and to know it. In simulations with other probabilities the deviation is 0.5 (of a model that is too sure
    of itself) to 2 times the true one; on small tables 0.8 to 2.5 times. The least such probability is 1e-12.
    """
    low, high = _LEAST_WRONG, 0.5
    for _ in range(50):
        wrong = math.sqrt(low * high)
        mean = -(wrong * math.log(wrong) + (1 - wrong) * math.log1p(-wrong))
        low, high = (wrong, high) if mean < value else (low, wrong)
    square = wrong * math.log(wrong) ** 2 + (1 - wrong) * math.log1p(-wrong) ** 2
    return math.sqrt(max(square - mean**2, 0.0))


def compute_effective_rows(metric: str, counts: RowCounts) -> float:
    """Return the rows of a plain share that would be as noisy as a metric is over these rows.

    A mean of k shares over n_c rows each has the variance of k^2 / sum(1 / n_c) rows. An area under the curve (AUC) of
    n rows against m others is taken for a mean of two shares, 4 / (1/n + 1/m) rows, and a mean of the areas of several
    classes for one of shares of so many rows. On normal scores with areas from 0.64 to 0.97 that is 0.85 to 1.22 times
    the standard error of simulations, and Hanley and McNeil's formula ("The Meaning and Use of the Area under a ROC
    Curve", 1982), which assumes exponential scores, 1.0 to 1.7 times; of several classes it is 0.7 to 1.3 times. Of a
    balanced accuracy it is exact where the classes have one rate, and 0.8 to 1.6 times where a rare one has a lower.

    >>> compute_effective_rows("val_auc", RowCounts(2000, (1950, 50))), compute_effective_rows("val_accuracy",
    ...     RowCounts(2000, (1950, 50)))
    (195.0, 2000.0)
    """
    name, known = strip_prefixes(metric), [count for count in counts.classes if count]
    if counts.has_labels:
        return _compute_label_rows(name, known, counts.total)
    if len(known) < 2:
        return float(counts.total)
    if name.endswith("auc"):
        areas = known[:1] if len(counts.classes) == 2 else known
        return _average([4 / (1 / count + 1 / (sum(known) - count)) for count in areas])
    if counts.is_of_second(name):
        return float(known[1])
    return _average(known) if name.endswith(_OF_RATES) else float(counts.total)


def _compute_label_rows(name: str, counts: Sequence[int], rows: int) -> float:
    divided = [count for count in counts if count < rows]
    if not divided:
        return float(rows)
    if name.endswith("auc"):
        return _average([4 / (1 / count + 1 / (rows - count)) for count in divided])
    return _average(counts) if name.endswith("f1_score") else float(rows)


def _average(rows: Sequence[float]) -> float:
    """Return the rows of a mean of shares over so many rows each."""
    return len(rows) ** 2 / sum(1 / each for each in rows)
