"""Devices of TensorFlow that train one model together, by `tf.distribute.MirroredStrategy`."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf

from pipelines.data.examples.leaves import is_ragged
from pipelines.data.examples.model_tensors import can_gather, make_tensors
from pipelines.data.examples.structures import flatten
from pipelines.models.objectives import WHOLE_BATCH_LOSSES
from pipelines.training.batches import Rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, EpochMonitor, FitResult
from pipelines.training.graph_trainer import OF_KERAS, fit_in_memory, train_by_steps
from pipelines.training.model_steps import ModelSteps
from pipelines.training.parallel.batch_trainer import train_by_batches
from pipelines.training.parallel.mirrored import MirroredSteps, synchronize_statistics
from pipelines.training.schedule import Schedule
from search_spaces.values import Direction

_MEANS = ("sum_over_batch_size", "mean")


class MirroredGroup:
    """See `device_group.DeviceGroup`.

    Args:
        strategy: TensorFlow's strategy over the devices.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy

    @property
    def count(self) -> int:
        """Number of devices."""
        return int(self._strategy.num_replicas_in_sync)

    def scope(self) -> AbstractContextManager[Any]:
        """Return the block in which a model for these devices is built."""
        scope: AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def find_obstacle(self, model: keras.Model, rows: Rows) -> str:
        """Return why these devices cannot share the training of a model; empty where they can."""
        if not isinstance(getattr(model, "optimizer", None), keras.optimizers.Optimizer):
            return "it has no optimizer of Keras"
        if own := [name for name in OF_KERAS if getattr(type(model), name) is not getattr(keras.Model, name)]:
            return f"{type(model).__name__} has its own {own[0]}, whose loss may not be divided by the devices"
        if model.run_eagerly:
            return "it runs eagerly"
        if not all(map(can_gather, (rows.train.x, rows.train.y, rows.train.sample_weight))):
            return "its rows are sparse"
        if any(is_ragged(leaf) for leaf in flatten(rows.train.x)):
            return "its rows are ragged"
        return next(filter(None, map(_find_loss_obstacle, keras.tree.flatten(model.loss))), "")

    def train(
        self,
        model: keras.Model,
        rows: Rows,
        schedule: Schedule,
        *,
        metric: str,
        direction: Direction,
        listener: EpochListener,
        checkpoints: CheckpointStore | None = None,
    ) -> FitResult:
        """Train a model that was built in the `scope`; see `trainer.Trainer`.

        Raises:
            TrialError: if the training cannot be scored, or devices cannot share its loss.
        """
        monitor = EpochMonitor(schedule, metric, direction, listener)
        steps = MirroredSteps(model, self._strategy)
        in_graph = ModelSteps(steps.train, steps.test, self.count, steps.separate_seeds)
        with self.scope(), synchronize_statistics(model):
            if rows.streaming is None and fit_in_memory(rows):
                return train_by_steps(model, rows, schedule, in_graph, monitor, listener, checkpoints)
            by_batch = _compile(in_graph)
            return train_by_batches(model, rows, schedule, by_batch, monitor, listener, checkpoints)


def count_devices() -> int:
    """Return the number of this process's GPUs, or of the parts of its CPU where it has none."""
    return len(_list_devices())


def make_group(count: int) -> MirroredGroup:
    """Return the first devices."""
    return _make_group(count)


@functools.cache
def _make_group(count: int) -> MirroredGroup:
    # Once in a process: its collective operations keep the first group of devices for good.
    return MirroredGroup(tf.distribute.MirroredStrategy([device.name for device in _list_devices()[:count]]))


def _list_devices() -> list[Any]:
    found: list[Any] = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return found


def _compile(steps: ModelSteps) -> ModelSteps:
    """Return steps that take arrays, each in a graph for every size of a batch."""
    train, test = tf.function(steps.train), tf.function(steps.test)
    return ModelSteps(
        lambda batch: train(tuple(map(make_tensors, batch))),
        lambda batch: test(tuple(map(make_tensors, batch))),
        steps.devices,
        steps.begin,
    )


def _find_loss_obstacle(loss: Any) -> str:
    """Return why the losses of shares do not add up to that of a batch; empty where they do."""
    if loss is None:
        return ""
    name = loss if isinstance(loss, str) else getattr(loss, "name", "")
    if name in WHOLE_BATCH_LOSSES:
        return f"{name} is one number for a whole batch"
    reduction = getattr(loss, "reduction", _MEANS[0])
    return "" if reduction in _MEANS else f"its loss has the reduction {reduction}, and not {_MEANS[0]}"
