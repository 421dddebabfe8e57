"""Predictions of a user model, with the task that its targets and predictions show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.prepared import Task
from pipelines.data.prepared_folder import load_examples_part, load_summary
from pipelines.data.raw import PartName
from pipelines.models.user_model import ModelCodeError, has_call
from pipelines.training.messages import PastTrial
from pipelines.training.user_model.rebuild import rebuild_user_model

_SUM_TOLERANCE = 1e-3


def predict_with_user_model(trial: PastTrial, parts: Sequence[PartName]) -> Iterator[tuple[str, Task, Array, Array]]:
    """Yield each part whose predictions have a form that a report can show, with its task, targets and predictions."""
    try:
        rebuilt = rebuild_user_model(trial)
    except ModelCodeError:
        return
    if rebuilt is None or not has_call(rebuilt.model):
        return
    task = load_summary(rebuilt.data).task
    for part in parts:
        rows = load_examples_part(rebuilt.data, part, rebuilt.fold)
        y = _convert_to_array(rows.y)
        if y is None or len(y) == 0:
            continue
        try:
            predictions = _convert_to_array(rebuilt.model.predict(rows.x, verbose=0))
        except Exception:  # a model's code may raise anything: its report is without predictions then
            return
        if predictions is not None and (seen := infer_task(task, y, predictions)) is not None:
            yield part, *seen


def infer_task(task: Task, y: Array, predictions: Array) -> tuple[Task, Array, Array] | None:
    """Return the task that targets and predictions show, with both in its form; None where they show none."""
    rows = len(y)
    if len(predictions) != rows or predictions.ndim > 2 or y.ndim > 2 or not np.isfinite(predictions).all():
        return None
    wide = predictions.reshape(rows, -1)
    width = wide.shape[1]
    is_share = bool((wide >= 0).all() and (wide <= 1 + _SUM_TOLERANCE).all())
    if width > 1 and is_share and np.allclose(wide.sum(axis=1), 1, atol=_SUM_TOLERANCE):
        labels = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] == width else y.reshape(rows, -1)[:, 0]
        if (
            np.issubdtype(labels.dtype, np.number)
            and (labels == labels.round()).all()
            and 0 <= labels.min() <= labels.max() < width
        ):
            return replace(task, kind="multiclass", classes=_name_classes(task, width)), labels.astype(int), wide
    flat = y.reshape(rows, -1)
    if not np.issubdtype(flat.dtype, np.number) or flat.shape[1] != width:
        return None
    if width == 1 and is_share and np.isin(flat, (0, 1)).all():
        return replace(task, kind="binary", classes=_name_classes(task, 2)), flat[:, 0].astype(int), wide
    targets = task.targets if len(task.targets) == width else tuple(f"output {each + 1}" for each in range(width))
    return replace(task, kind="multi_output_regression", classes=(), targets=targets), flat.astype(float), wide


def _name_classes(task: Task, count: int) -> tuple[str, ...]:
    return task.classes if len(task.classes) == count else tuple(map(str, range(count)))


def _convert_to_array(values: object) -> Array | None:
    """Return values as one array; None where they are several, or have no such form."""
    if isinstance(values, dict | list | tuple):
        return None
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        return None
    return array if array.ndim >= 1 and array.dtype != object else None
