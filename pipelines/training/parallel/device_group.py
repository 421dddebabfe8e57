"""Devices of a worker that train one model together, each a share of every batch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

import keras

from pipelines.training.batches import Rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, FitResult
from pipelines.training.schedule import Schedule
from search_spaces.errors import InputError, Problem
from search_spaces.values import Direction

KEY = "resources.devices"
OWN_FIT = "its hypermodel has its own fit"


class DeviceGroup(Protocol):
    """Two or more devices, by a backend's own means."""

    @property
    def count(self) -> int:
        """Number of devices."""

    def scope(self) -> AbstractContextManager[Any]:
        """Return the block in which a model for these devices is built."""

    def find_obstacle(self, model: keras.Model, rows: Rows) -> str:
        """Return why these devices cannot share the training of a model; empty where they can."""

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


def open_group(devices: Literal["all"] | int) -> DeviceGroup | None:
    """Return the first devices of this worker as a group; None for a single one.

    Raises:
        InputError: if it has fewer.
    """
    if devices == 1:
        return None
    # One of them is imported: a worker for JAX never loads TensorFlow.
    groups: Any
    if keras.backend.backend() == "jax":
        from pipelines.training.parallel import sharded_group as groups
    else:
        from pipelines.training.parallel import mirrored_group as groups
    found = groups.count_devices()
    if devices != "all" and devices > found:
        message = f"expected {devices} devices for each trial, got {found} in its worker; resources.gpus sets them"
        raise InputError(Problem(message, KEY))
    count = found if devices == "all" else devices
    if count == 1:
        return None
    group: DeviceGroup = groups.make_group(count)
    return group


def build_for(group: DeviceGroup | None) -> AbstractContextManager[Any]:
    """Return the block in which a model for a group, or for one device, is built."""
    return nullcontext() if group is None else group.scope()


def refuse_obstacle(group: DeviceGroup, model: keras.Model, rows: Rows, *, own_fit: bool = False) -> None:
    """Make sure that devices can share the training of a model with some batch size.

    Raises:
        InputError: if they cannot.
    """
    if reason := OWN_FIT if own_fit else group.find_obstacle(model, rows):
        message = f"{group.count} devices cannot share the training of this model: {reason}; write 1"
        raise InputError(Problem(message, KEY))


def find_obstacle(group: DeviceGroup, model: keras.Model, rows: Rows, batch_size: int) -> str:
    """Return why a trial trains on one device instead; empty where a group trains it."""
    if batch_size % group.count:
        return f"{group.count} devices cannot share batches of {batch_size} evenly"
    return group.find_obstacle(model, rows)
