"""Targets of a study's rows as baselines take them, and the metric that stands for the study's objective.

A family's targets have a form that its task states. A user model may take others, and its code names its metrics: what
Keras calls by a well-known name is computed as Keras does, and anything else has no baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipelines.baselines.jobs import BaselinesJob
from pipelines.data.array_types import Array
from pipelines.data.examples.examples import Examples
from pipelines.data.prepared import DataSummary, Task, TaskKind
from pipelines.models.objectives import METRICS
from pipelines.spec.schema import TrainingSpec

_ALIASES: Final = {
    "acc": "accuracy",
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "categorical_accuracy": "accuracy",
}
_VALUES: Final = frozenset(METRICS["regression"])
_CLASSES: Final = frozenset(METRICS["binary"]) | frozenset(METRICS["multiclass"])


class NoTaskError(ValueError):
    """Targets that no baseline predicts, or a metric that none has; the message is the reason."""


@dataclass(frozen=True)
class Targets:
    """Targets of some rows.

    Attributes:
        y: in the form of the task's kind.
        weights: of each row; None where all weigh alike.
        metric: Keras's name of the metric, where a user model's code gave it another.
        training: settings under which that metric is reported; None for those of the study.
    """

    task: Task
    y: Array
    weights: Array | None
    metric: str = ""
    training: TrainingSpec | None = None


def read_targets(job: BaselinesJob, summary: DataSummary, rows: Examples) -> Targets:
    """Return the targets of rows.

    Raises:
        NoTaskError: if they have no baseline.
    """
    weights = None if rows.sample_weight is None else np.asarray(rows.sample_weight)
    if job.output:
        head = next(head for head in summary.task.heads if head.output == job.output)
        return Targets(head, np.asarray(rows.y[head.output]), weights)
    if summary.task.heads:
        raise NoTaskError("a model of yours is compiled by its code, and its targets have several tasks")
    if not job.is_compiled:
        return Targets(summary.task, np.asarray(rows.y), weights)
    metric = _find_metric(job.metric)
    task, y = summary.task, rows.y
    if task.kind == "custom":
        task, y = _read_given(task, y, metric)
    if metric not in METRICS[task.kind]:
        raise NoTaskError(f"Keras's {metric} is no metric of a {task.kind} task")
    return Targets(task, np.asarray(y), weights, metric, TrainingSpec(metrics=[metric]))


def _find_metric(metric: str) -> str:
    bare = metric.removeprefix("val_")
    if bare == "loss":
        raise NoTaskError(
            f"the model's code defines {metric}; with objective.metric: val_accuracy, val_mean_absolute_error or "
            "another of Keras's metrics there would be some"
        )
    name = _ALIASES.get(bare, bare)
    if name not in _VALUES | _CLASSES:
        raise NoTaskError(f"the model's code defines {metric}, which is none of Keras's metrics")
    return name


def _read_given(task: Task, y: Any, metric: str) -> tuple[Task, Array]:
    """Return the task and the targets of rows that go to a user model as they were given."""
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "biuf" or y.ndim > 2:
        raise NoTaskError("the targets are no plain column of numbers")
    flat = y.reshape(len(y), -1)
    kind: TaskKind
    if metric in _CLASSES - _VALUES:
        if flat.shape[1] > 1 and not np.array_equal(flat.sum(axis=1), np.ones(len(flat))):
            raise NoTaskError("the targets have several columns, and a row is not of one class")
        labels = flat.argmax(axis=1) if flat.shape[1] > 1 else flat[:, 0].astype(int)
        many = flat.shape[1] if flat.shape[1] > 1 else max(len(task.classes), int(labels.max()) + 1)
        if labels.min() < 0 or many > 1000:
            raise NoTaskError("the targets are no class numbers from 0 on")
        kind = "binary" if many <= 2 and flat.shape[1] == 1 else "multiclass"
        return Task(kind, task.targets, tuple(map(str, range(max(2, many))))), labels.astype(np.int32)
    width = flat.shape[1]
    kind = "regression" if width == 1 else "multi_output_regression"
    names = tuple(f"y{index}" for index in range(width))
    return Task(kind, names, target_mean=(0.0,) * width, target_scale=(1.0,) * width), flat.astype(np.float32)
