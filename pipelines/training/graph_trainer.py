"""Training of a Keras model whose rows fit in memory, with one TensorFlow graph for many steps.

A small network's `Model.fit` spends nine tenths of its time outside arithmetic: fetching, converting and dispatching
each batch from Python. Here the rows are tensors already and a graph goes over them by itself, calling the model's
`train_step`: same batches, same arithmetic, same metrics as `Model.fit`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.data.examples.examples import Examples
from pipelines.data.examples.leaves import count_rows
from pipelines.data.examples.model_tensors import can_gather, gather_rows, make_row_tensors, make_tensors, measure_bytes
from pipelines.data.examples.structures import flatten, map_leaves
from pipelines.training.batches import Rows, compute_row_weights, shuffle_rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, EpochMonitor, FitResult
from pipelines.training.fit_trainer import VALIDATION_BATCH, finish_training
from pipelines.training.keras_state import create_variables, offer_checkpoint, restore
from pipelines.training.messages import MOST_BYTES
from pipelines.training.model_steps import ModelSteps
from pipelines.training.schedule import Schedule
from search_spaces.values import Direction

_CALL_S = 0.5  # seconds; a call that takes less is followed by one of twice the steps

OF_KERAS = ("fit", "train_step", "test_step", "make_train_function", "make_test_function")
"""Methods of Keras's models: a class that overrides one trains in another way than this trainer."""


def can_train_in_graph(model: keras.Model, rows: Rows) -> bool:
    """Return whether the model trains by Keras's steps, and its rows fit in memory."""
    is_stock = all(getattr(type(model), name) is getattr(keras.Model, name) for name in OF_KERAS)
    return is_stock and not model.run_eagerly and fit_in_memory(rows)


def fit_in_memory(rows: Rows) -> bool:
    """Return whether a graph can pick batches of the rows from memory."""
    parts = [part for each in (rows.train, rows.validation) for part in (each.x, each.y, each.sample_weight)]
    is_small = rows.streaming is None and sum(map(measure_bytes, parts)) <= MOST_BYTES
    return is_small and all(map(can_gather, parts))


def train_in_graph(
    model: keras.Model,
    rows: Rows,
    schedule: Schedule,
    *,
    metric: str,
    direction: Direction,
    listener: EpochListener,
    checkpoints: CheckpointStore | None = None,
) -> FitResult:
    """Train and leave the model with the weights of its best epoch; see `train_with_fit`.

    Raises:
        TrialError: if the loss or the objective is not finite, or the objective is never reported.
    """
    monitor = EpochMonitor(schedule, metric, direction, listener)
    return train_by_steps(
        model, rows, schedule, ModelSteps(model.train_step, model.test_step), monitor, listener, checkpoints
    )


def train_by_steps(
    model: keras.Model,
    rows: Rows,
    schedule: Schedule,
    steps: ModelSteps,
    monitor: EpochMonitor,
    listener: EpochListener,
    checkpoints: CheckpointStore | None,
) -> FitResult:
    """Train by calling steps in graphs over rows in memory; see `train_in_graph`.

    Raises:
        TrialError: as there.
    """
    is_divided = steps.devices > 1
    train = _Steps(
        steps.train, rows.train, compute_row_weights(rows), schedule.batch_size, listener, is_divided=is_divided
    )
    largest = max(schedule.batch_size, VALIDATION_BATCH)
    batch_size = math.ceil(largest / steps.devices) * steps.devices
    validate = _Steps(
        steps.test, rows.validation, rows.validation.sample_weight, batch_size, listener, is_divided=is_divided
    )
    # TensorFlow refuses new variables inside a graph's loop.
    create_variables(model, train.rows.gather(tf.range(min(2, train.rows.count))))
    done = restore(model, monitor, checkpoints)
    steps.begin()
    # int32 as in the signature, which accepts no other type.
    in_order = np.arange(rows.validation.rows, dtype=np.int32)
    for epoch in range(done, schedule.epochs):
        metrics = _run(model, train, shuffle_rows(schedule.seed, epoch, rows.train.rows))
        validation = _run(model, validate, in_order)
        metrics |= {f"val_{name}": value for name, value in validation.items()}
        stops = monitor.observe(epoch, metrics, model.get_weights)
        offer_checkpoint(checkpoints, model, monitor, stops=stops)
        if stops:
            break
    return finish_training(model, monitor)


@dataclass(frozen=True)
class _Rows:
    """Rows of a part as structures of tensors; y or weights are None where there are none."""

    x: Any
    y: Any
    weights: Any

    @property
    def count(self) -> int:
        """Number of rows."""
        return count_rows(flatten(self.x)[0])

    def gather(self, chosen: Any) -> tuple[Any, ...]:
        """Return the chosen rows as a batch."""
        parts = (self.x, self.y, self.weights)
        x, y, weights = (
            None if part is None else map_leaves(lambda leaf: gather_rows(leaf, chosen), part) for part in parts
        )
        # Without targets a batch is x alone, as Keras's steps take it.
        return (x,) if y is None else (x, y) if weights is None else (x, y, weights)


class _Steps:
    """Model step over many batches in one graph call, and over one last, partial batch.

    Args:
        step: the model's.
        part: the rows.
        weights: of the rows.
        batch_size: rows of a batch.
        listener: gets a sign of life after each call of a graph.
        is_divided: whether devices divide a batch among them, for which its graph must know the size.
    """

    def __init__(
        self,
        step: Callable[[Any], Any],
        part: Examples,
        weights: Any,
        batch_size: int,
        listener: EpochListener,
        *,
        is_divided: bool,
    ) -> None:
        self.rows = rows = _make_rows(part, weights)
        self._batch_size = batch_size
        self._listener = listener
        self._steps_a_call = 1
        # For a batch of any size one graph serves both: tracing it is half of a short training's time.
        self._over = _trace_loop(step, rows, batch_size if is_divided else None)
        self._over_last = _trace_loop(step, rows, rows.count % batch_size) if is_divided else self._over

    def run(self, order: np.ndarray[Any, Any]) -> None:
        """Go over the rows in this order, with signs of life in between."""
        whole = len(order) // self._batch_size
        batches = order[: whole * self._batch_size].reshape(whole, self._batch_size)
        start = 0
        while start < whole:
            count = min(self._steps_a_call, whole - start)
            began = time.monotonic()
            self._over(batches[start : start + count])
            start += count
            self._listener.record_batch()
            if time.monotonic() - began < _CALL_S:  # a long call would look like a hang
                self._steps_a_call *= 2
        if whole * self._batch_size < len(order):
            self._over_last(order[whole * self._batch_size :].reshape(1, -1))
            self._listener.record_batch()


def _trace_loop(step: Callable[[Any], Any], rows: _Rows, batch_size: int | None) -> Callable[[Any], None]:
    """Return the graph of a step over batches [batch, place], traced at its first call."""

    # Without a signature TensorFlow would trace the loop again for each number of batches.
    @tf.function(input_signature=[tf.TensorSpec([None, batch_size], tf.int32)])  # type: ignore[untyped-decorator]
    def over(batches: Any) -> None:
        for index in tf.range(tf.shape(batches)[0]):
            step(rows.gather(batches[index]))

    traced: Callable[[Any], None] = over
    return traced


def _run(model: keras.Model, steps: _Steps, order: np.ndarray[Any, Any]) -> dict[str, float]:
    model.reset_metrics()
    steps.run(order)
    return {name: float(np.mean(value)) for name, value in model.get_metrics_result().items()}


def _make_rows(part: Examples, weights: Any) -> _Rows:
    return _Rows(make_row_tensors(part.x), make_tensors(part.y), make_tensors(weights))
