"""Trains a Keras model whose data fits in memory with one TensorFlow graph for many steps.

A small network's `Model.fit` spends nine tenths of its time outside arithmetic: fetching, converting and dispatching
each batch from Python. Here the rows are tensors already and a graph goes over them by itself, calling the model's
own `train_step`: same batches, same arithmetic, same metrics as `fit`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from pipelines.data.prepared import Part
from pipelines.training.batches import batch_order, row_weights
from pipelines.training.checkpoint import Checkpoints
from pipelines.training.epoch_monitor import Judge
from pipelines.training.fit_trainer import VALIDATION_BATCH, finished
from pipelines.training.keras_state import kept, taken_up
from pipelines.training.messages import MOST_BYTES, Fitted, Listener, Rows, Schedule

_CALL_S = 0.5
_OF_KERAS = ("fit", "train_step", "test_step", "make_train_function", "make_test_function")


def can_loop(model: keras.Model, rows: Rows) -> bool:
    """Say whether the model trains by Keras's own steps, and its rows fit in memory."""
    is_stock = all(getattr(type(model), name) is getattr(keras.Model, name) for name in _OF_KERAS)
    size = sum(values.nbytes for part in (rows.train, rows.validation) for values in part.x.values())
    return is_stock and not model.run_eagerly and size <= MOST_BYTES


def loop(
    model: keras.Model,
    rows: Rows,
    schedule: Schedule,
    *,
    metric: str,
    direction: Literal["minimize", "maximize"],
    listener: Listener,
    checkpoints: Checkpoints | None = None,
    taken: Callable[[Mapping[str, Any]], Any] = dict,
) -> Fitted:
    """Train and leave the model with the weights of its best epoch; see `fit`.

    `taken` makes of the rows' inputs, by name, what the model takes.

    Raises:
        TrialError: if the loss or the objective is not finite, or the objective is never reported.
    """
    judge = Judge(schedule, metric, direction, listener)
    train = _Steps(model.train_step, _tensors(rows.train, row_weights(rows), taken), schedule.batch_size, listener)
    batch_size = max(schedule.batch_size, VALIDATION_BATCH)
    validate = _Steps(model.test_step, _tensors(rows.validation, None, taken), batch_size, listener)
    _make_variables(model, train.rows)
    in_order = np.arange(rows.validation.rows, dtype=np.int32)
    for epoch in range(taken_up(model, judge, checkpoints), schedule.epochs):
        metrics = _run(model, train, batch_order(schedule.seed, epoch, rows.train.rows))
        validation = _run(model, validate, in_order)
        metrics |= {f"val_{name}": value for name, value in validation.items()}
        if judge.stops(epoch, metrics, model.get_weights):
            break
        if checkpoints:
            checkpoints.offer(lambda: kept(model, judge))
    return finished(model, judge)


@dataclass(frozen=True)
class _Rows:
    """A part's rows as tensors, by input name; weights are None where all rows weigh alike."""

    x: Mapping[str, Any]
    y: Any
    weights: Any
    taken: Callable[[Mapping[str, Any]], Any]

    def at(self, chosen: Any) -> tuple[Any, ...]:
        """Return the chosen rows as a batch."""
        x = self.taken({name: tf.gather(values, chosen) for name, values in self.x.items()})
        y = tf.gather(self.y, chosen)
        return (x, y) if self.weights is None else (x, y, tf.gather(self.weights, chosen))


class _Steps:
    """A model's step over many batches in one graph call, and over one last, partial batch."""

    def __init__(self, step: Callable[[Any], Any], rows: _Rows, batch_size: int, listener: Listener) -> None:
        self.rows = rows
        self._batch_size = batch_size
        self._listener = listener
        self._steps_a_call = 1

        @tf.function(input_signature=[tf.TensorSpec([None, batch_size], tf.int32)])  # type: ignore[untyped-decorator]
        def over(batches: Any) -> None:
            for index in tf.range(tf.shape(batches)[0]):
                step(rows.at(batches[index]))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])  # type: ignore[untyped-decorator]
        def over_one(batch: Any) -> None:
            step(rows.at(batch))

        self._over, self._over_one = over, over_one

    def run(self, order: np.ndarray[Any, Any]) -> None:
        """Go over the rows in this order, saying now and then that work goes on."""
        whole = len(order) // self._batch_size
        batches = order[: whole * self._batch_size].reshape(whole, self._batch_size)
        start = 0
        while start < whole:
            count = min(self._steps_a_call, whole - start)
            began = time.monotonic()
            self._over(batches[start : start + count])
            start += count
            self._listener.batch()
            if time.monotonic() - began < _CALL_S:
                self._steps_a_call *= 2
        if whole * self._batch_size < len(order):
            self._over_one(order[whole * self._batch_size :])
            self._listener.batch()


def _run(model: keras.Model, steps: _Steps, order: np.ndarray[Any, Any]) -> dict[str, float]:
    model.reset_metrics()
    steps.run(order)
    return {name: float(np.mean(value)) for name, value in model.get_metrics_result().items()}


def _tensors(part: Part, weights: np.ndarray[Any, Any] | None, taken: Callable[[Mapping[str, Any]], Any]) -> _Rows:
    x = {name: tf.convert_to_tensor(np.asarray(values)) for name, values in part.x.items()}
    y = tf.convert_to_tensor(np.asarray(part.y))
    return _Rows(x, y, None if weights is None else tf.convert_to_tensor(weights), taken)


def _make_variables(model: keras.Model, rows: _Rows) -> None:
    """Make the variables of optimizer, loss and metrics, which no loop in a graph may do."""
    x, y, *_ = rows.at(tf.range(min(2, rows.y.shape[0])))
    prediction = model(x, training=False)
    model.compute_loss(x=x, y=y, y_pred=prediction, training=False)
    model.compute_metrics(x, y, prediction, None)
    model.optimizer.build(model.trainable_variables)
