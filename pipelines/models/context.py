"""Context of a study for a model family: all that is not a hyperparameter, as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.data.prepared import Features, Task
from pipelines.spec.schema import TrainingSpec


@dataclass(frozen=True)
class ModelContext:
    """The form of the data, the task, and the settings that all trials share.

    Attributes:
        train_rows: number of rows in one epoch; learning-rate schedules count steps by it.
        per_layer: parameters that the space declares layer by layer: a family then requests `units_1`, `units_2`, ...
            and not `units`.
    """

    features: Features
    task: Task
    training: TrainingSpec
    train_rows: int
    per_layer: frozenset[str] = frozenset()

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the optimizer's steps in one epoch; the last batch may be partial."""
        return max(1, math.ceil(self.train_rows / batch_size))
