"""Interface of the trainers of one Keras model, and the choice between them."""

from __future__ import annotations

from typing import Protocol

import keras

from pipelines.training.batches import Rows
from pipelines.training.checkpoint import CheckpointStore
from pipelines.training.epoch_monitor import EpochListener, FitResult
from pipelines.training.fit_trainer import train_with_fit
from pipelines.training.graph_trainer import can_train_in_graph, train_in_graph
from pipelines.training.messages import TrainerName
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


def choose_trainer(model: keras.Model, rows: Rows, *, by_fit: bool = False) -> tuple[TrainerName, Trainer]:
    """Return the fastest trainer that can train a model on its rows, with its name; `by_fit` always chooses `fit`."""
    if not by_fit and can_train_in_graph(model, rows):
        return "graph", train_in_graph
    return "fit", train_with_fit
