"""Loss and metrics of a model's outputs by the names that training reports, from all rows at once or in batches.

The loss is without label smoothing and penalties on weights, which belong to the training and not to a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.prepared import Task
from pipelines.models.head_objectives import get_weight, make_training
from pipelines.models.losses import build_loss_with_smoothing, build_metrics, build_weighted_metrics
from pipelines.models.objectives import WHOLE_BATCH_LOSSES, resolve_loss
from pipelines.spec.schema import TrainingSpec


def score_outputs(
    task: Task, training: TrainingSpec, y: Any, outputs: Sequence[Any], weights: Any = None
) -> dict[str, float]:
    """Return the loss and all metrics of a model's outputs for some rows; see `OutputScores`.

    Raises:
        InputError: if a declared loss or metric does not fit the task.
    """
    scores = OutputScores(task, training)
    scores.update(y, outputs, weights)
    return scores.compute()


def score_predictions(
    task: Task, training: TrainingSpec, y: Any, predictions: Any, weights: Any = None
) -> dict[str, float]:
    """Return all metrics of predictions for some rows by name; `weights` [row] are None where all rows weigh alike.

    Raises:
        InputError: if a declared metric does not fit the task.
    """
    metrics = _Metrics(task, training)
    metrics.update(y, predictions, weights)
    return metrics.compute()


class OutputScores:
    """Loss and all metrics of a model's outputs for rows that come in batches.

    No batch is kept, but with a loss that is one number for all rows (`WHOLE_BATCH_LOSSES`). Batches give what all
    rows give at once, but for the rounding of float32: Keras's metrics add up batches too.

    Args:
        task: the task.
        training: the study's settings.

    Raises:
        InputError: if a declared loss or metric does not fit the task.
    """

    def __init__(self, task: Task, training: TrainingSpec) -> None:
        self._heads = [_TargetScores(head, make_training(head, training)) for head in task.heads]
        self._only = None if task.heads else _TargetScores(task, training)
        self._shares = [get_weight(head, training) for head in task.heads]

    def update(self, y: Any, outputs: Sequence[Any], weights: Any = None) -> None:
        """Add some rows.

        Args:
            y: targets; of several heads a dict by output.
            outputs: predictions, those of several heads in the order of the task's.
            weights: of the rows [row]; None where all weigh alike.
        """
        if self._only is not None:
            [predictions] = outputs
            self._only.update(y, predictions, weights)
            return
        for head, predictions in zip(self._heads, outputs, strict=True):
            head.update(y[head.task.output], predictions, weights)

    def compute(self) -> dict[str, float]:
        """Return the loss and the metrics of all rows so far, those of several heads with the output before them."""
        if self._only is not None:
            return self._only.compute()
        scores = {"loss": 0.0}
        for head, share in zip(self._heads, self._shares, strict=True):
            own = head.compute()
            scores["loss"] += share * own["loss"]
            scores |= {f"{head.task.output}_{name}": value for name, value in own.items()}
        return scores


class _TargetScores:
    """Scores of the predictions for one target."""

    def __init__(self, task: Task, training: TrainingSpec) -> None:
        self.task = task
        self._loss = build_loss_with_smoothing(task, training, 0.0)
        self._needs_all = resolve_loss(task.kind, training) in WHOLE_BATCH_LOSSES
        self._kept: list[tuple[Array, Array]] = []
        self._total, self._rows = 0.0, 0
        self._metrics = _Metrics(task, training)

    def update(self, y: Any, predictions: Any, weights: Any) -> None:
        rows = len(predictions)
        if self._needs_all:  # such losses weigh no rows
            self._kept.append((y, predictions))
        else:
            # The loss of a batch is a mean over its rows.
            self._total += float(np.mean(self._loss(y, predictions, sample_weight=weights))) * rows
        self._rows += rows
        self._metrics.update(y, predictions, weights)

    def compute(self) -> dict[str, float]:
        if self._kept:
            y, predictions = map(np.concatenate, zip(*self._kept, strict=True))
            loss = float(np.mean(self._loss(y, predictions)))
        else:
            loss = self._total / self._rows if self._rows else float("nan")
        return {"loss": loss, **self._metrics.compute()}


class _Metrics:
    """Keras metrics of a task, those that weigh rows among them."""

    def __init__(self, task: Task, training: TrainingSpec) -> None:
        self._plain, self._weighted = build_metrics(task, training), build_weighted_metrics(task, training)

    def update(self, y: Any, predictions: Any, weights: Any) -> None:
        for metric in self._plain:
            metric.update_state(y, predictions)
        for metric in self._weighted:
            metric.update_state(y, predictions, sample_weight=weights)

    def compute(self) -> dict[str, float]:
        # Some metrics, such as an F1 score without an average, are one number a class.
        return {metric.name: float(np.mean(metric.result())) for metric in (*self._plain, *self._weighted)}
