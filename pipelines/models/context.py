"""What a model family needs to know of a study besides the hyperparameters; plain values only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipelines.data.prepared import Features, Task
from pipelines.spec.schema import TrainingSpec


@dataclass(frozen=True)
class ModelContext:
    """The data's form, the task, and what is the same for every trial.

    Attributes:
        train_rows: rows that one epoch goes over; learning-rate schedules count steps by it.
        per_layer: parameters that the space declares for each layer by itself: a family then asks for `units_1`,
            `units_2`, ... and not for `units`.
    """

    features: Features
    task: Task
    training: TrainingSpec
    train_rows: int
    per_layer: frozenset[str] = frozenset()

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the optimizer's steps in one epoch; the last batch may be partial."""
        return max(1, math.ceil(self.train_rows / batch_size))
