"""Summary of a model's predictions by its task: of whole arrays, or of batches where rows are many."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.prepared import Task
from pipelines.selection.prediction_summary import summarize_classes, summarize_labels, summarize_numbers
from pipelines.selection.prediction_totals import ClassTotals, LabelTotals, NumberTotals, PredictionTotals, has_many

_BATCH = 65_536  # rows


def summarize(task: Task, y: Array, predictions: Array, losses: Array | None = None) -> dict[str, Any] | None:
    """Return the summary of predictions by the task; None where they have another form, or are not finite."""
    rows = len(y)
    if has_many(rows, predictions[:1].size):
        batches = BatchedSummary(task, rows)
        for start in range(0, rows, _BATCH):
            few = slice(start, start + _BATCH)
            batches.add(y[few], predictions[few], None if losses is None else losses[few])
        return batches.summarize()
    arranged = _arrange(task, y, predictions)
    if arranged is None:
        return None
    if task.kind in ("binary", "multiclass"):
        return summarize_classes(*arranged, task.classes, losses)
    if task.kind == "multi_label":
        return summarize_labels(*arranged, task.targets, losses)
    return summarize_numbers(*arranged, task.targets, losses)


class BatchedSummary:
    """Summary of predictions that come in batches; see `prediction_totals` for what differs.

    Args:
        task: the task of the target.
        rows: number of all rows.
    """

    def __init__(self, task: Task, rows: int) -> None:
        self._task = task
        self._totals = _make_totals(task, rows)

    def add(self, y: Array, predictions: Array, losses: Array | None = None) -> None:
        """Add a batch."""
        arranged = None if self._totals is None else _arrange(self._task, y, predictions)
        if self._totals is None or arranged is None:
            self._totals = None
        else:
            self._totals.add(*arranged, losses)

    def summarize(self) -> dict[str, Any] | None:
        """Return the summary; None where predictions have another form, or are not finite."""
        return None if self._totals is None else self._totals.summarize()


def _arrange(task: Task, y: Array, predictions: Array) -> tuple[Array, Array] | None:
    """Return targets and predictions as the summary for the kind takes them; None where they have another form."""
    if not np.isfinite(predictions).all():
        return None
    rows = len(y)
    if task.kind == "binary" and predictions.shape == (rows, 1):
        positive = predictions[:, 0]
        return y.reshape(-1), np.stack([1 - positive, positive], axis=1)
    if task.kind == "multiclass" and predictions.shape == (rows, len(task.classes)):
        return y.reshape(-1), predictions
    if task.kind == "multi_label" and predictions.shape == y.shape:
        return y, predictions
    if task.kind in ("regression", "multi_output_regression") and predictions.size == y.size:
        return y.reshape(rows, -1), predictions.reshape(rows, -1)
    return None


def _make_totals(task: Task, rows: int) -> PredictionTotals | None:
    if task.kind in ("binary", "multiclass"):
        return ClassTotals(rows, task.classes)
    if task.kind == "multi_label":
        return LabelTotals(rows, task.targets)
    return NumberTotals(rows, task.targets) if task.kind in ("regression", "multi_output_regression") else None
