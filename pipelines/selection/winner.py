"""Evaluation of the model that a study delivers: its scores on the test rows, and a summary of its predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.prepared import Task
from pipelines.engines.base import Channel
from pipelines.selection.evaluation_files import write_evaluation
from pipelines.selection.forecast_summary import summarize_forecast
from pipelines.selection.jobs import WinnerJob
from pipelines.selection.prediction_summary import summarize_classes, summarize_labels, summarize_numbers
from pipelines.training.trial_folder import TEST_FILE, read_trial_config
from pipelines.workspace.atomic_files import write_text


def evaluate_winner(payload: WinnerJob, channel: Channel) -> Mapping[str, float]:
    """Return the model's metrics on the test rows, and write them and the summary of its predictions; a job.

    The names are Keras's with `test_` before them; empty where there are no test rows, or the model has no score.
    """
    scores = _score_test(payload, channel) if "test" in payload.parts else {}
    channel.beat()
    parts: dict[str, Any] = {}
    heads: dict[str, dict[str, Any]] = {}
    classes: Sequence[str] = ()
    for part, task, y, predictions, losses in _predict(payload):
        channel.beat()
        if (summary := summarize(task, y, predictions, losses)) is None:
            continue
        if task.output:
            head = {"target": task.targets[0], "classes": list(task.classes), "parts": {}}
            heads.setdefault(task.output, head)["parts"][part] = summary
        else:
            parts[part], classes = {**summary, **_add_forecast(payload, part, task, y, predictions)}, task.classes
    write_evaluation(Path(payload.trial.folder), payload.number, classes, parts, heads)
    return scores


def summarize(task: Task, y: Array, predictions: Array, losses: Array | None = None) -> dict[str, Any] | None:
    """Return the summary of predictions by the task; None where they have another form."""
    if not np.isfinite(predictions).all():
        return None
    rows = len(y)
    if task.kind == "binary" and predictions.shape == (rows, 1):
        positive = predictions[:, 0]
        return summarize_classes(y.reshape(-1), np.stack([1 - positive, positive], axis=1), task.classes, losses)
    if task.kind == "multiclass" and predictions.shape == (rows, len(task.classes)):
        return summarize_classes(y.reshape(-1), predictions, task.classes, losses)
    if task.kind == "multi_label" and predictions.shape == y.shape:
        return summarize_labels(y, predictions, task.targets, losses)
    if task.kind in ("regression", "multi_output_regression") and predictions.size == y.size:
        return summarize_numbers(y.reshape(rows, -1), predictions.reshape(rows, -1), task.targets, losses)
    return None


def _add_forecast(payload: WinnerJob, part: str, task: Task, y: Array, predictions: Array) -> dict[str, Any]:
    from pipelines.data.prepared_folder import load_window_rows

    if task.classes or part not in ("validation", "test"):
        return {}
    fold = read_trial_config(Path(payload.trial.folder))["fold"]
    windows = load_window_rows(Path(payload.trial.data), "test" if part == "test" else "validation", fold)
    found = None if windows is None else summarize_forecast(windows, y, predictions)
    return {} if found is None else {"forecast": found}


def _score_test(payload: WinnerJob, channel: Channel) -> Mapping[str, float]:
    # Imported here: both load Keras.
    if payload.has_user_model:
        from pipelines.training.user_model.evaluate import evaluate_user_model

        return evaluate_user_model(payload.trial, channel)
    from pipelines.selection.evaluate import evaluate_part

    scores = evaluate_part(payload.trial, payload.training, "test")
    write_text(Path(payload.trial.folder) / TEST_FILE, json.dumps(scores))
    return scores


def _predict(payload: WinnerJob) -> Iterator[tuple[str, Task, Array, Array, Array | None]]:
    """Yield each part with its task, its targets, its predictions and its rows' losses; of several heads each."""
    if payload.has_user_model:
        from pipelines.selection.user_predictions import predict_with_user_model

        yield from predict_with_user_model(payload.trial, payload.parts)
        return
    import keras

    from pipelines.data.prepared_folder import iterate_raw, load_part, load_summary
    from pipelines.models.head_objectives import make_training
    from pipelines.models.raw_predict import predict_parts
    from pipelines.selection.evaluate import compute_row_losses
    from pipelines.training.write_models import ensure_model_file

    data = Path(payload.trial.data)
    task = load_summary(data).task
    model = keras.models.load_model(ensure_model_file(payload.trial))
    for part in payload.parts:
        if part == "train":
            continue
        y = load_part(data, part).y
        outputs = predict_parts(model, iterate_raw(data, part))
        for each, predictions in zip(task.heads or (task,), outputs, strict=True):
            own = np.asarray(y[each.output] if task.heads else y)
            training = make_training(each, payload.training) if task.heads else payload.training
            yield part, each, own, predictions, compute_row_losses(each, training, own, predictions)
