"""Which trainer runs a model."""

from __future__ import annotations

from typing import Literal, Protocol

import keras

from pipelines.training.checkpoint import Checkpoints
from pipelines.training.fit_trainer import fit
from pipelines.training.graph_trainer import can_loop, loop
from pipelines.training.messages import Fitted, Listener, Rows, Schedule


class Trainer(Protocol):
    """Trains a compiled model and leaves it with the weights of its best epoch; see `fit` and `loop`."""

    __name__: str

    def __call__(
        self,
        model: keras.Model,
        rows: Rows,
        schedule: Schedule,
        *,
        metric: str,
        direction: Literal["minimize", "maximize"],
        listener: Listener,
        checkpoints: Checkpoints | None = None,
    ) -> Fitted:
        """Train.

        Raises:
            TrialError: if the training cannot be scored.
        """


def trainer_of(model: keras.Model, rows: Rows) -> Trainer:
    """Return the fastest trainer that can run a model on its rows."""
    return loop if can_loop(model, rows) else fit
