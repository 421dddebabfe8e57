"""Trials to train both in fleets and one by one, as plain values.

Keras has one backend in a process, so the fleets of a test run in a process of their own (`fleet_process.py`), and
both sides make the same rows from the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.data.examples.examples import Examples
from pipelines.data.prepared import Features, Task
from pipelines.models.objectives import calculate_class_weights
from pipelines.spec.schema import TrainingSpec
from pipelines.training.batches import Rows
from pipelines.training.schedule import Schedule

AS_ON_AN_ACCELERATOR = {"_AT_ONCE_ON_A_CPU": 64}
"""See `FleetRun.constants`: all members of a fleet take each step at once, as they do where a GPU trains them."""


@dataclass(frozen=True)
class Setting:
    """What all trials of a study have in common."""

    task: Task
    features: Features = field(default_factory=lambda: Features(dense=5))
    training: TrainingSpec = field(default_factory=TrainingSpec)
    train_rows: int = 70
    validation_rows: int = 33
    per_layer: frozenset[str] = frozenset()
    metric: str = "val_loss"
    direction: Any = "minimize"
    family: str = "mlp"

    def rows(self) -> Rows:
        """Return the rows, whose first numbers determine the class or the value."""
        random = np.random.default_rng(5)
        train, validation = (self._part(random, rows) for rows in (self.train_rows, self.validation_rows))
        return Rows(train, validation, calculate_class_weights(self.task, self.training))

    def _part(self, random: np.random.Generator, rows: int) -> Examples:
        x: dict[str, Any] = {}
        signal = np.zeros((rows, self.task.outputs))
        if self.features.dense:
            x["dense"] = random.normal(size=(rows, self.features.dense)).astype("float32")
            signal += x["dense"][:, :1] * np.linspace(-1, 1, self.task.outputs + 1)[:-1]
        if self.features.codes:
            counts = [count for _, count in self.features.codes]
            x["codes"] = np.stack([random.integers(0, count, rows) for count in counts], 1).astype("int32")
        if self.features.image:
            x["image"] = random.normal(size=(rows, *self.features.image)).astype("float32")
        if self.family == "cnn":
            # The corner's brightness decides, where there is nothing else.
            signal += x["image"][:, :2, :2].mean(axis=(1, 2, 3))[:, None] * np.linspace(-4, 4, self.task.outputs)
        signal = signal + random.normal(size=signal.shape)
        weights = random.uniform(0, 4, rows).astype("float32") if self.task.is_weighted else None
        return Examples(x, self._make_targets(signal), weights)

    def _make_targets(self, signal: Any) -> Any:
        if self.task.kind == "binary":
            return (signal[:, 0] > 0).astype("int32")
        if self.task.kind == "multiclass":
            return signal.argmax(axis=1).astype("int32")
        y = np.asarray(self.task.target_mean) + np.asarray(self.task.target_scale) * signal
        return np.abs(y).astype("float32")


@dataclass(frozen=True)
class Trial:
    """One trial: its hyperparameters, its seed, and the epoch after which it is pruned."""

    values: Mapping[str, Any]
    seed: int = 11
    pruned_at: int | None = None

    def schedule(self, setting: Setting) -> Schedule:
        """Return its schedule."""
        stopping = setting.training.early_stopping
        return Schedule(
            epochs=int(self.values["epochs"]),
            batch_size=int(self.values["batch_size"]),
            patience=stopping.patience if stopping else None,
            min_delta=stopping.min_delta if stopping else 0.0,
            seed=self.seed,
        )


@dataclass(frozen=True)
class FleetRun:
    """Trials that go through one fleet in order, refilling its slots.

    Attributes:
        beside: trials that the program has room for besides, though none of them is trained.
        constants: of the `program` module, to be other than they are.
        cut_after: trials by name that leave their slot after an epoch, counted from 0, and resume from a checkpoint.
        paused_after: trials by name that are paused after an epoch, and resume from that checkpoint.
        compiled: False does without compiling: cheaper for a training of one step, and the same arithmetic.
    """

    setting: Setting
    trials: Mapping[str, Trial]
    slots: int = 4
    beside: tuple[Trial, ...] = ()
    constants: Mapping[str, int] = field(default_factory=dict)
    cut_after: Mapping[str, int] = field(default_factory=dict)
    paused_after: Mapping[str, int] = field(default_factory=dict)
    compiled: bool = True


@dataclass(frozen=True)
class Outcome:
    """End of a trial's training; the weights are the best epoch's, in the order of its stock model's."""

    history: tuple[Mapping[str, float], ...] = ()
    best_epoch: int = -1
    pruned: bool = False
    weights: list[Any] = field(default_factory=list)
    failure: str = ""


def trial(seed: int = 11, pruned_at: int | None = None, **values: Any) -> Trial:
    """Return a short trial of a narrow model with these hyperparameters."""
    plain = {"batch_size": 16, "epochs": 2, "depth": 1, "units": 8, "learning_rate": 0.01}
    return Trial({**plain, **values}, seed, pruned_at)
