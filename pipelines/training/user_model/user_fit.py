"""Setup of a user model's training: its hypermodel, its schedule, the arguments of its `fit`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras

from pipelines.data.prepared import Task
from pipelines.models.user_model import LoadedUserModel
from pipelines.training.batches import Rows
from pipelines.training.epoch_monitor import EpochListener
from pipelines.training.schedule import FIT_ARGUMENTS, Schedule
from pipelines.training.user_model.fit_data import DatasetForm
from search_spaces.values import Direction


class UserModelListener(EpochListener, Protocol):
    """Listener that also receives the number of epochs, which only the training of a user model shows."""

    def expect_epochs(self, epochs: int) -> None:
        """Set the most epochs that there will be."""


@dataclass(frozen=True)
class UserFit:
    """Setup of a user model's training, except its model and rows.

    Attributes:
        arguments: arguments of `fit` except the rows: `epochs` and `batch_size`; see `select_fit_arguments`.
        has_custom_fit: whether the user's code trains; see `has_custom_fit`.
        folder: working directory of a custom `fit`; None leaves the process's.
        is_short: whether each call of `Model.fit` ends after one epoch, as in a check.
    """

    user: LoadedUserModel
    task: Task
    schedule: Schedule
    metric: str
    direction: Direction
    arguments: Mapping[str, Any]
    has_custom_fit: bool
    folder: Path | None = None
    is_short: bool = False

    def choose_form(self, rows: Rows) -> DatasetForm | None:
        """Return the form of a dataset for a custom `fit` whose data was one; None for arrays."""
        # Keras's `fit` trains alike by arrays, which can be trained in one graph.
        if not self.user.has_custom_fit or rows.train.batch_size is None:
            return None
        return DatasetForm(self.arguments.get("batch_size", rows.train.batch_size), self.schedule.seed)

    def is_better(self, value: float, other: float) -> bool:
        """Return whether a value of the objective is better than another."""
        return value < other if self.direction == "minimize" else value > other


def has_custom_fit(user: LoadedUserModel, model: keras.Model) -> bool:
    """Return whether the user's code trains: by the hypermodel's `fit`, or by the `fit` of its model's class."""
    return user.has_custom_fit or type(model).fit is not keras.Model.fit


def select_fit_arguments(
    user: LoadedUserModel, values: Mapping[str, Any], requested: frozenset[str], schedule: Schedule
) -> dict[str, Any]:
    """Return the arguments of `fit` among `epochs` and `batch_size`, with their values.

    A custom `fit` gets those that the space declares and that the code does not request from `hp` itself.
    """
    if not user.has_custom_fit:
        return {"batch_size": schedule.batch_size, "epochs": schedule.epochs}
    return {name: int(values[name]) for name in FIT_ARGUMENTS if name in values and name not in requested}
