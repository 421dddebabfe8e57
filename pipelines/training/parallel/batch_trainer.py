"""Training by steps called batch by batch: for rows that stay on disk, and for backends without a graph loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from pipelines.data.examples.examples import Examples
from pipelines.data.examples.picture_rows import widen
from pipelines.data.examples.structures import map_leaves
from pipelines.training.batches import Rows, compute_row_weights, shuffle_rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, EpochMonitor, FitResult
from pipelines.training.fit_trainer import VALIDATION_BATCH, finish_training
from pipelines.training.keras_state import create_variables, offer_checkpoint, restore
from pipelines.training.model_steps import ModelSteps
from pipelines.training.schedule import Schedule
from pipelines.training.streamed_batches import StreamedBatches


def train_by_batches(
    model: keras.Model,
    rows: Rows,
    schedule: Schedule,
    steps: ModelSteps,
    monitor: EpochMonitor,
    listener: EpochListener,
    checkpoints: CheckpointStore | None,
) -> FitResult:
    """Train, from a checkpoint if there is one, and leave the model with the weights of its best epoch.

    Raises:
        TrialError: if the loss or the objective is not finite, or the objective is never reported.
    """
    create_variables(model, _pack(rows.train.take(slice(2))))
    read_epoch = _choose_order(rows, schedule)
    batch_size = math.ceil(max(schedule.batch_size, VALIDATION_BATCH) / steps.devices) * steps.devices
    done = restore(model, monitor, checkpoints)
    steps.begin()
    for epoch in range(done, schedule.epochs):
        metrics = _run(model, steps, steps.train, read_epoch(epoch), listener)
        validation = _run(model, steps, steps.test, _read_in_order(rows, batch_size), listener)
        metrics |= {f"val_{name}": value for name, value in validation.items()}
        stops = monitor.observe(epoch, metrics, model.get_weights)
        offer_checkpoint(checkpoints, model, monitor, stops=stops)
        if stops:
            break
    return finish_training(model, monitor)


def _run(
    model: keras.Model,
    steps: ModelSteps,
    step: Callable[[Any], Any],
    batches: Iterable[tuple[Any, ...]],
    listener: EpochListener,
) -> dict[str, float]:
    model.reset_metrics()
    steps.load()
    for batch in batches:
        step(batch)
        listener.record_batch()
    steps.store()
    return {name: float(np.mean(value)) for name, value in model.get_metrics_result().items()}


def _choose_order(rows: Rows, schedule: Schedule) -> Callable[[int], Iterator[tuple[Any, ...]]]:
    """Return a function that reads the batches of an epoch."""
    if rows.streaming is not None:
        shuffle, folder = rows.streaming.shuffle, rows.streaming.folder
        batches = StreamedBatches(rows.train, rows.class_weight, schedule.batch_size, schedule.seed, shuffle, folder)
        return lambda epoch: _read_streamed(batches, epoch)
    weighted = replace(rows.train, sample_weight=compute_row_weights(rows))
    return lambda epoch: _read_shuffled(weighted, schedule, epoch)


def _read_streamed(batches: StreamedBatches, epoch: int) -> Iterator[tuple[Any, ...]]:
    batches.start_epoch(epoch)
    yield from (batches[index] for index in range(len(batches)))


def _read_shuffled(train: Examples, schedule: Schedule, epoch: int) -> Iterator[tuple[Any, ...]]:
    order = shuffle_rows(schedule.seed, epoch, train.rows)
    for start in range(0, len(order), schedule.batch_size):
        yield _pack(train.take(order[start : start + schedule.batch_size]))


def _read_in_order(rows: Rows, batch_size: int) -> Iterator[tuple[Any, ...]]:
    for start in range(0, rows.validation.rows, batch_size):
        yield _pack(rows.validation.take(slice(start, start + batch_size)))


def _pack(part: Examples) -> tuple[Any, ...]:
    x = map_leaves(widen, part.x)
    if part.y is None:
        return (x,)
    return (x, part.y) if part.sample_weight is None else (x, part.y, part.sample_weight)
