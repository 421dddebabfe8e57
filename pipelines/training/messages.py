"""Payloads and results that cross the boundary between supervisor and worker processes.

Everything here is a plain value and needs no framework to be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pipelines.engines.base import Backend
from pipelines.spec.schema import TrainingSpec
from pipelines.training.resource_use import UNKNOWN_USE, ResourceUse
from search_spaces.values import Direction, Value

if TYPE_CHECKING:  # it imports Optuna, which no worker of a family needs
    from search_spaces.hypermodel_request import HyperparameterRequest

TrainerName = Literal["", "fit", "graph", "fleet", "user", "parallel"]

RungDecision = Literal["go_on", "prune", "pause"]
"""Answer at a rung. A paused trial ends its attempt with a checkpoint, and goes on later or never."""

MOST_BYTES = 2 * 10**9
"""Rows beyond this size stay on disk, and `Model.fit` reads them batch by batch."""


@dataclass(frozen=True)
class UserModel:
    """User model of a trial: the folder of its code, and its hyperparameters.

    Attributes:
        base: folder that the model's file is relative to.
        declared: names in the space, whether they are active in this trial or not.
        requested: names that the code requested when it was checked.
        deferred: those of them whose value is drawn when the code requests it.
        searches: whether undeclared hyperparameters are searched, not fixed at the code's default.
        bounds: per declared name the values that `Parameter.bounds` has.
    """

    base: str
    declared: frozenset[str]
    requested: frozenset[str]
    searches: bool
    deferred: frozenset[str] = frozenset()
    bounds: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialJob:
    """One trial to train.

    Attributes:
        values: active hyperparameters.
        per_layer: concepts that the space declares layer by layer (`units` for `units_1`, `units_2`, ...).
        model: a family's name.
        data: folder that data preparation wrote.
        folder: folder of the trial's files.
        metric: the objective, and whether less or more of it is better.
        rungs: epochs, counted from 0, after which the trial requests whether it is to be pruned.
        most_parameters: weights that its model may have; None for no ceiling.
        most_model_bytes: memory that training its model may take by the estimate; None for no ceiling.
        user_model: where `model` is a user model; its trials also send `HyperparameterRequest`s.
        refit_epochs: train exactly so many epochs and keep the last one's weights; None keeps the best epoch's.
        keeps_folds: whether the model of each fold is written, and not the best one's alone.
        by_fit: whether `Model.fit`, or the user model's `fit`, trains it where the graph trainer could.
        resumed_after: epochs that it had trained when it was last paused; 0 where it never was.
        spent_s: seconds that it has trained before it was paused.
        devices: devices of its worker that it trains on.
        backend: Keras's backend in its worker.
        spent: what it has used before it was paused.
    """

    study: str
    number: int
    values: Mapping[str, Value]
    per_layer: frozenset[str]
    seed: int
    model: str
    training: TrainingSpec
    data: str
    folder: str
    metric: str
    direction: Direction
    rungs: frozenset[int]
    most_parameters: int | None = None
    most_model_bytes: int | None = None
    user_model: UserModel | None = None
    refit_epochs: int | None = None
    by_fit: bool = False
    keeps_folds: bool = False
    resumed_after: int = 0
    spent_s: float = 0.0
    devices: Literal["all"] | int = 1
    backend: Backend = "tensorflow"

    def is_undecided(self, epochs: int, of: int) -> bool:
        """Return whether a training that is restored after so many epochs stands at a rung that it may not pass yet.

        A kill between the checkpoint of a pause and its record leaves such a checkpoint.
        """
        return self.resumed_after < epochs < of and epochs - 1 in self.rungs

    @property
    def cpu_devices(self) -> int:
        """Number of devices that its worker's CPU is divided into, where it has no GPU."""
        return 1 if self.devices == "all" else self.devices

    spent: ResourceUse = UNKNOWN_USE


@dataclass(frozen=True)
class EpochDone:
    """Report of a trial after each epoch.

    Attributes:
        epoch: counted from 0; `of` is the most there will be. With folds, `fold` counts from 0.
        at_ms: when it ended, in milliseconds since 1970.
        metrics: finite values by Keras's names.
    """

    epoch: int
    of: int
    fold: int
    at_ms: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class RungReached:
    """Request of a trial at a rung; answered with a `RungDecision`.

    Attributes:
        epoch: the epoch just done, counted from 0.
        best: its best score so far.
        can_pause: whether it can write a checkpoint of its whole state.
    """

    epoch: int
    best: float
    can_pause: bool = True


@dataclass(frozen=True)
class TrialResult:
    """Result of a trial that did not fail.

    Attributes:
        value: the objective at the best epoch; the mean over the folds.
        best_epoch: counted from 0; with folds, the rounded mean.
        metrics: every metric at the best epoch, by its name; the mean over the folds.
        epochs: the whole curve; with folds, the mean over the folds that reached an epoch.
        parameters: trainable weights of the model.
        seconds: time from start to end, without the time for which it was paused.
        drawn: hyperparameters that the model requested and the space does not declare.
        trainer: `fit`, `graph`, `fleet`, `parallel` for several devices, or `user` for a user model trained by its
            hypermodel's `fit`.
        measures: measurements of its files, by the names of the objectives.
        resources: what it used of its worker.
    """

    state: Literal["complete", "pruned"]
    value: float
    best_epoch: int
    metrics: Mapping[str, float]
    epochs: tuple[EpochDone, ...]
    parameters: int
    seconds: float
    drawn: Mapping[str, Value] = field(default_factory=dict)
    trainer: TrainerName = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    resources: ResourceUse = UNKNOWN_USE


@dataclass(frozen=True)
class TrialOutcome:
    """End of a trial, as its worker sends it.

    Attributes:
        kind: `completed` with a result, pruned or not; `paused` with the result that it has if it never goes on;
            `rejected`, not trained because its model is over a ceiling; `failed`, without a score; `fatal`, failed in a
            way that every other trial of the study would fail too.
        result: of a completed or paused trial.
        reason: of any other.
        traceback: of a failed or fatal one; empty where an exception was not the cause.
    """

    kind: Literal["completed", "paused", "rejected", "failed", "fatal"]
    result: TrialResult | None = None
    reason: str = ""
    traceback: str = ""


@dataclass(frozen=True)
class ModelCheck:
    """Costs of one model of the space.

    Attributes:
        parameters: all weights of the model.
        memory_bytes: estimate for training: weights, their gradients, the optimizer's state, and for one batch every
            layer's output twice (once forward, once for its gradient).
        first_s: time of the first step, which traces and compiles.
        refused: why this one is not built; all else is 0 then.
        epoch_s: estimate for one epoch, from a few steps.
        epochs: most epochs that a trial of this size trains.
    """

    parameters: int
    memory_bytes: int
    first_s: float
    epoch_s: float
    epochs: int
    refused: str = ""


@dataclass(frozen=True)
class UserModelCheck:
    """Costs of a user model's smallest and largest variant.

    Attributes:
        requested: every hyperparameter that the code requested.
        notes: what was decided for the user, and what will fail later.
    """

    requested: tuple[HyperparameterRequest, ...]
    smallest: ModelCheck
    largest: ModelCheck
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PastTrial:
    """A trial that has ended: its folder, and the folder of its prepared data."""

    folder: str
    data: str


@dataclass(frozen=True)
class ModelsAhead:
    """Trials that may be kept, whose models are written while others train.

    Attributes:
        folder: gets a folder with the model of each, named as the trial's.
    """

    trials: tuple[PastTrial, ...]
    folder: str
