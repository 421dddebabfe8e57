"""Training state of a Keras model: weights, random seeds, the optimizer's variables."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from pipelines.training.checkpoint import Checkpoint, CheckpointStore
from pipelines.training.epoch_monitor import EpochMonitor


def can_capture(model: keras.Model) -> bool:
    """Return whether `capture` holds the whole state of a training: Keras's steps and one Keras optimizer."""
    has_own_step = type(model).train_step is not keras.Model.train_step
    return not has_own_step and isinstance(getattr(model, "optimizer", None), keras.optimizers.Optimizer)


def create_variables(model: keras.Model, batch: tuple[Any, ...]) -> None:
    """Create the variables of optimizer, loss and metrics from a few rows (x, y, sample weights)."""
    x, y, weights, *_ = (*batch, None, None)
    prediction = model(x, training=False)
    model.compute_loss(x=x, y=y, y_pred=prediction, sample_weight=weights, training=False)
    model.compute_metrics(x, y, prediction, weights)
    model.optimizer.build(model.trainable_variables)


def restore(model: keras.Model, monitor: EpochMonitor, checkpoints: CheckpointStore | None) -> int:
    """Set a model and its monitor to the state of an earlier attempt; return the number of finished epochs."""
    checkpoint = checkpoints.read() if checkpoints else None
    if checkpoint is None:
        return 0
    for variable, value in zip(_list_variables(model), checkpoint.state, strict=True):
        variable.assign(value)
    monitor.restore(checkpoint.monitor, checkpoint.best_weights)
    return monitor.epochs


def capture(model: keras.Model, monitor: EpochMonitor) -> Checkpoint:
    """Return the state of a model and its monitor after a whole epoch."""
    plain, best_weights = monitor.capture()
    return Checkpoint(plain, best_weights, [np.asarray(variable) for variable in _list_variables(model)])


def offer_checkpoint(
    checkpoints: CheckpointStore | None, model: keras.Model, monitor: EpochMonitor, *, stops: bool
) -> None:
    """Write a checkpoint after an epoch: where the training is paused with it in any case, else if one is due.

    Raises:
        AssertionError: if a training is paused that has no checkpoints.
    """
    if monitor.is_paused:
        assert checkpoints is not None, "only a training with checkpoints may be paused"
        checkpoints.write(capture(model, monitor))
    # A training that stops has its result written next: a checkpoint would only cost time.
    elif checkpoints is not None and not stops:
        checkpoints.offer(lambda: capture(model, monitor))


def _list_variables(model: keras.Model) -> list[Any]:
    model.optimizer.build(model.trainable_variables)  # an optimizer has no variables before its first step
    # `variables` and not `weights`: only the former hold the seeds of dropout.
    return [*model.variables, *model.optimizer.variables]
