"""Devices of JAX that train one model together, by `keras.distribution.DataParallel`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras

from pipelines.training.batches import Rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, EpochMonitor, FitResult
from pipelines.training.model_steps import ModelSteps
from pipelines.training.parallel.batch_trainer import train_by_batches
from pipelines.training.parallel.sharded import ShardedSteps
from pipelines.training.schedule import Schedule
from search_spaces.values import Direction


class ShardedGroup:
    """See `device_group.DeviceGroup`.

    Args:
        devices: their names, as `keras.distribution.list_devices` returns them.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._distribution = _EvenDataParallel(devices=list(devices))

    @property
    def count(self) -> int:
        """Number of devices."""
        return int(self._distribution.device_mesh.shape[0])

    def scope(self) -> AbstractContextManager[Any]:
        """Return the block in which a model for these devices is built."""
        scope: AbstractContextManager[Any] = self._distribution.scope()
        return scope

    def find_obstacle(self, model: keras.Model, rows: Rows) -> str:
        """Return nothing: one program over all devices trains any model."""
        return ""

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
            TrialError: if the training cannot be scored.
        """
        monitor = EpochMonitor(schedule, metric, direction, listener)
        steps = ShardedSteps(model, self._distribution)
        in_program = ModelSteps(steps.train, steps.test, self.count, load=steps.load, store=steps.store)
        with self.scope():
            return train_by_batches(model, rows, schedule, in_program, monitor, listener, checkpoints)


def count_devices() -> int:
    """Return the number of this process's GPUs, or of the parts of its CPU where it has none."""
    return len(keras.distribution.list_devices())


def make_group(count: int) -> ShardedGroup:
    """Return the first devices."""
    return ShardedGroup(keras.distribution.list_devices()[:count])


class _EvenDataParallel(keras.distribution.DataParallel):  # type: ignore[misc]  # keras has no types
    """Layout by batches; a batch that the devices cannot share evenly is on each of them whole."""

    def get_data_layout(self, data_shape: Sequence[int]) -> keras.distribution.TensorLayout:
        """Return the layout of a batch with this shape."""
        if data_shape[0] % self.device_mesh.shape[0]:
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)
        return super().get_data_layout(data_shape)
