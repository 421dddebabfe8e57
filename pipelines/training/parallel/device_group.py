"""Devices of a worker that train one model together, each a share of every batch, on TensorFlow."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import keras
import tensorflow as tf

from pipelines.data.examples.leaves import is_ragged
from pipelines.data.examples.model_tensors import can_gather
from pipelines.data.examples.structures import flatten
from pipelines.models.objectives import WHOLE_BATCH_LOSSES
from pipelines.training.batches import Rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, EpochMonitor, FitResult
from pipelines.training.graph_trainer import OF_KERAS, ModelSteps, train_by_steps
from pipelines.training.parallel.mirrored import MirroredSteps, open_strategy, synchronize_statistics
from pipelines.training.schedule import Schedule
from search_spaces.errors import InputError, Problem
from search_spaces.values import Direction

_KEY = "resources.devices"
OWN_FIT = "its hypermodel has its own fit"
_MEANS = ("sum_over_batch_size", "mean")


class DeviceGroup:
    """Devices that train one model together.

    Args:
        strategy: TensorFlow's strategy over them.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self.count = int(strategy.num_replicas_in_sync)

    def scope(self) -> AbstractContextManager[Any]:
        """Return the block in which a model for these devices is built."""
        scope: AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def refuse_obstacle(self, model: keras.Model, rows: Rows, *, own_fit: bool = False) -> None:
        """Make sure that these devices can share the training of a model with some batch size.

        Raises:
            InputError: if they cannot.
        """
        if reason := OWN_FIT if own_fit else find_obstacle(model, rows):
            message = f"{self.count} devices cannot share the training of this model: {reason}; write 1"
            raise InputError(Problem(message, _KEY))

    def find_obstacle(self, model: keras.Model, rows: Rows, batch_size: int) -> str:
        """Return why these devices cannot share a training; empty where they can."""
        if batch_size % self.count:
            return f"{self.count} devices cannot share batches of {batch_size} evenly"
        return find_obstacle(model, rows)

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
        model_steps = ModelSteps(steps.train, steps.test, self.count, steps.separate_seeds)
        with self.scope(), synchronize_statistics(model):
            return train_by_steps(model, rows, schedule, model_steps, monitor, listener, checkpoints)


def open_group(devices: Literal["all"] | int) -> DeviceGroup | None:
    """Return the first devices of this worker as a group; None for a single one.

    Raises:
        InputError: if it has fewer.
    """
    if devices == 1:
        return None
    found = len(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU"))
    if devices != "all" and devices > found:
        message = f"expected {devices} devices for each trial, got {found} in its worker; resources.gpus sets them"
        raise InputError(Problem(message, _KEY))
    count = found if devices == "all" else devices
    return DeviceGroup(_open_strategy(count)) if count > 1 else None


def build_for(group: DeviceGroup | None) -> AbstractContextManager[Any]:
    """Return the block in which a model for a group, or for one device, is built."""
    return nullcontext() if group is None else group.scope()


@functools.cache
def _open_strategy(count: int) -> tf.distribute.Strategy:
    """Return the process's strategy: TensorFlow's collective operations keep the first group of devices for good."""
    return open_strategy(count)


def find_obstacle(model: keras.Model, rows: Rows) -> str:
    """Return why devices cannot share the training of a model; empty where they can."""
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
    for loss in filter(None, keras.tree.flatten(model.loss)):
        name = loss if isinstance(loss, str) else getattr(loss, "name", "")
        if name in WHOLE_BATCH_LOSSES:
            return f"{name} is one number for a whole batch"
        reduction = getattr(loss, "reduction", _MEANS[0])
        if reduction not in _MEANS:
            return f"its loss has the reduction {reduction}, and shares add up with {_MEANS[0]} only"
    return ""
