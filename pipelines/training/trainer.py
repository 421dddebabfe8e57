"""Interface of the trainers of one Keras model, and the choice between them."""

from __future__ import annotations

from typing import Protocol

import keras

from pipelines.training.batches import Rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, FitResult
from pipelines.training.fit_trainer import train_with_fit
from pipelines.training.messages import TrainerName
from pipelines.training.parallel.device_group import DeviceGroup
from pipelines.training.schedule import Schedule
from search_spaces.values import Direction


class Trainer(Protocol):
    """Trains a compiled model and leaves it with the weights of its best epoch."""

    def __call__(
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
        """Train.

        Raises:
            TrialError: if the training cannot be scored.
        """


def choose_trainer(
    model: keras.Model, rows: Rows, group: DeviceGroup | None = None, *, by_fit: bool = False
) -> tuple[TrainerName, Trainer]:
    """Return the fastest trainer that can train a model on its rows, with its name.

    Args:
        model: the model.
        rows: its rows.
        group: the devices that the model was built for; None for one.
        by_fit: whether `fit` trains it in any case.
    """
    if group is not None:
        return "parallel", group.train
    if not by_fit and keras.backend.backend() == "tensorflow":
        # Here, since a worker for JAX never loads TensorFlow.
        from pipelines.training.graph_trainer import can_train_in_graph, train_in_graph

        if can_train_in_graph(model, rows):
            return "graph", train_in_graph
    return "fit", train_with_fit
