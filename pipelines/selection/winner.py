"""Evaluation of the model that a study delivers: its scores on the test rows, and a summary of its predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.prepared import Task
from pipelines.data.raw import GivenPart
from pipelines.engines.base import Channel
from pipelines.selection.evaluation_files import write_evaluation
from pipelines.selection.forecast_summary import summarize_forecast
from pipelines.selection.jobs import WinnerJob
from pipelines.selection.prediction_totals import has_many
from pipelines.selection.summarize import BatchedSummary, summarize
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
    summaries = _summarize_user_model(payload) if payload.has_user_model else _summarize_family(payload, channel)
    for part, task, summary in summaries:
        channel.beat()
        if summary is None:
            continue
        if task.output:
            head = {"target": task.targets[0], "classes": list(task.classes), "parts": {}}
            heads.setdefault(task.output, head)["parts"][part] = summary
        else:
            parts[part], classes = summary, task.classes
    write_evaluation(Path(payload.trial.folder), payload.number, classes, parts, heads)
    return scores


def _add_forecast(
    payload: WinnerJob, part: str, task: Task, y: Array, predictions: Array, summary: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Return a summary with that of the forecasts, where the rows are windows of series."""
    from pipelines.data.prepared_folder import load_window_rows

    if summary is None or task.output or task.classes or part not in ("validation", "test"):
        return summary
    fold = read_trial_config(Path(payload.trial.folder))["fold"]
    windows = load_window_rows(Path(payload.trial.data), "test" if part == "test" else "validation", fold)
    found = None if windows is None else summarize_forecast(windows, y, predictions)
    return summary if found is None else {**summary, "forecast": found}


def _score_test(payload: WinnerJob, channel: Channel) -> Mapping[str, float]:
    # Imported here: both load Keras.
    if payload.has_user_model:
        from pipelines.training.user_model.evaluate import evaluate_user_model

        return evaluate_user_model(payload.trial, channel)
    from pipelines.selection.evaluate import evaluate_part

    scores = evaluate_part(payload.trial, payload.training, "test")
    write_text(Path(payload.trial.folder) / TEST_FILE, json.dumps(scores))
    return scores


def _summarize_user_model(payload: WinnerJob) -> Iterator[tuple[str, Task, Mapping[str, Any] | None]]:
    """Yield each part with the task that its predictions show, and their summary."""
    from pipelines.selection.user_predictions import predict_with_user_model

    for part, task, y, predictions in predict_with_user_model(payload.trial, payload.parts):
        yield part, task, _add_forecast(payload, part, task, y, predictions, summarize(task, y, predictions))


def _summarize_family(payload: WinnerJob, channel: Channel) -> Iterator[tuple[str, Task, Mapping[str, Any] | None]]:
    """Yield each part with its task and the summary of its predictions; of several heads each."""
    import keras

    from pipelines.data.prepared_folder import load_part, load_summary
    from pipelines.training.write_models import ensure_model_file

    data = Path(payload.trial.data)
    summary = load_summary(data)
    tasks = summary.task.heads or (summary.task,)
    model = keras.models.load_model(ensure_model_file(payload.trial))
    for part in payload.parts:
        if part == "train":
            continue
        # Forecasts are drawn by their times, from all rows.
        in_batches = summary.windows is None and has_many(
            load_part(data, part).rows, max(task.outputs for task in tasks)
        )
        summarize_part = _summarize_batches if in_batches else _summarize_rows
        yield from ((part, *each) for each in summarize_part(payload, model, part, tasks, channel))


def _summarize_rows(
    payload: WinnerJob, model: Any, part: GivenPart, tasks: Sequence[Task], channel: Channel
) -> Iterator[tuple[Task, Mapping[str, Any] | None]]:
    """Yield each task with the summary of a part's predictions, from all of its rows at once."""
    from pipelines.data.prepared_folder import iterate_raw, load_part
    from pipelines.models.raw_predict import predict_parts

    data = Path(payload.trial.data)
    y = load_part(data, part).y
    outputs = predict_parts(model, iterate_raw(data, part))
    for task, predictions in zip(tasks, outputs, strict=True):
        channel.beat()
        own = np.asarray(y[task.output] if task.output else y)
        found = summarize(task, own, predictions, _compute_losses(payload, task, own, predictions))
        yield task, _add_forecast(payload, part, task, own, predictions, found)


def _summarize_batches(
    payload: WinnerJob, model: Any, part: GivenPart, tasks: Sequence[Task], channel: Channel
) -> Iterator[tuple[Task, Mapping[str, Any] | None]]:
    """Yield what `_summarize_rows` yields, with some rows in memory at a time."""
    from pipelines.data.prepared_folder import load_part
    from pipelines.selection.evaluate import iterate_predictions

    data = Path(payload.trial.data)
    rows = load_part(data, part).rows
    summaries = [BatchedSummary(task, rows) for task in tasks]
    for batch, outputs in iterate_predictions(model, data, part):
        channel.beat()
        for task, predictions, summary in zip(tasks, outputs, summaries, strict=True):
            own = np.asarray(batch.y[task.output] if task.output else batch.y)
            summary.add(own, predictions, _compute_losses(payload, task, own, predictions))
    yield from ((task, summary.summarize()) for task, summary in zip(tasks, summaries, strict=True))


def _compute_losses(payload: WinnerJob, task: Task, y: Array, predictions: Array) -> Array | None:
    from pipelines.models.head_objectives import make_training
    from pipelines.selection.evaluate import compute_row_losses

    training = make_training(task, payload.training) if task.output else payload.training
    return compute_row_losses(task, training, y, predictions)
