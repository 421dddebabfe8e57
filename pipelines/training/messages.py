"""The seam between a trial and the way it is trained: what goes in, what comes out, what is said in between.

Everything here is a plain value, so that it crosses processes and needs no framework to be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from pipelines.data.prepared import Part
from pipelines.spec.schema import TrainingSpec
from search_spaces.errors import KerastudyError
from tracking.outbox.records import Value


@dataclass(frozen=True)
class OwnModel:
    """What a trial of a study's own model knows besides.

    Attributes:
        base: folder that the model's file is relative to.
        declared: names in the space, whether they are active in this trial or not.
        asked: names that the code was seen to ask for.
        later: those of them whose value is asked for when the code asks.
        searches: whether what is not declared is searched, and not fixed at the code's default.
        bounds: per declared name the values that `Parameter.bounds` has.
    """

    base: str
    declared: frozenset[str]
    asked: frozenset[str]
    searches: bool
    later: frozenset[str] = frozenset()
    bounds: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialJob:
    """One trial, as a worker gets it.

    Attributes:
        values: active hyperparameters.
        per_layer: concepts that the space declares layer by layer (`units` for `units_1`, `units_2`, ...).
        model: a family's name.
        data: folder that data preparation wrote.
        folder: where the trial's own files go.
        metric: the objective, and whether less or more of it is better.
        rungs: epochs, counted from 0, after which the trial asks whether it is to be pruned.
        most_parameters: weights that its model may have; None for no ceiling.
        most_model_bytes: memory that training its model may take by the estimate; None for no ceiling.
        own: where `model` is the study's own code; such a trial also asks `Question`s, which are answered with values.
        refit_epochs: train for exactly so many epochs and keep the last one's weights; None keeps the best epoch's.
        by_fit: whether it is trained by `Model.fit`, or its own, where `loop` could do it.
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
    direction: Literal["minimize", "maximize"]
    rungs: frozenset[int]
    most_parameters: int | None = None
    most_model_bytes: int | None = None
    own: OwnModel | None = None
    refit_epochs: int | None = None
    by_fit: bool = False


@dataclass(frozen=True)
class EpochDone:
    """What a trial reports after each epoch.

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
    """What a trial asks at a rung: its best score so far goes on, or not? Answered with True for "prune"."""

    epoch: int
    best: float


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended that did not fail.

    Attributes:
        value: the objective at the best epoch; the mean over the folds.
        best_epoch: counted from 0; with folds, the rounded mean.
        metrics: every metric at the best epoch, by its name; the mean over the folds.
        epochs: the whole curve; with folds, the mean over the folds that reached an epoch.
        parameters: trainable weights of the model.
        seconds: time from start to end.
        drawn: hyperparameters that the model asked for and the space does not declare.
        trainer: what trained it: `fit`, `loop`, `fleet`, or `own` for a model of the study's own by its `fit`.
        measures: what was measured of its files, by the names of the objectives.
    """

    state: Literal["complete", "pruned"]
    value: float
    best_epoch: int
    metrics: Mapping[str, float]
    epochs: tuple[EpochDone, ...]
    parameters: int
    seconds: float
    drawn: Mapping[str, Value] = field(default_factory=dict)
    trainer: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)


FIT_ARGUMENTS = ("batch_size", "epochs")
"""What the `fit` of a study's own model is told by the space, where its code does not ask for it."""

MOST_BYTES = 2 * 10**9
"""Rows beyond this size stay on disk, and `fit` reads them batch by batch."""

DEFAULT_EPOCHS = 30
DEFAULT_BATCH_SIZE = 32
"""What a model of the study's own is trained with where neither its code nor the space says."""

ARTIFACTS = "artifacts"
"""The folder in a trial's folder whose files MLflow shows."""

MODEL_FILE = "model.keras"
"""A complete trial's model on raw columns, in the trial's folder."""

WEIGHTS_FILE = "weights.npz"
"""The weights of a complete trial that was trained in a fleet: what `get_weights` of its model gives, in that order.

Its `MODEL_FILE` is written from them when it is needed; see `rebuild`.
"""

OWN_WEIGHTS_FILE = "own_weights.npz"
"""The weights of a complete trial's model, where the model is the study's own."""

TEST_FILE = "test.json"
"""The winner's metrics on the test rows, in the trial's folder."""

RESULT_FILE = "result.json"
"""The trial's `TrialResult`, written after all its other files."""


def read_result(folder: Path) -> TrialResult | None:
    """Return the result that a worker left in a trial's folder, or None where it left none."""
    file = folder / RESULT_FILE
    if not file.exists():
        return None
    values = json.loads(file.read_text(encoding="utf-8"))
    return TrialResult(**{**values, "epochs": tuple(EpochDone(**epoch) for epoch in values["epochs"])})


def epochs_file(folder: Path, fold: int) -> Path:
    """Return the file in a trial's folder that takes a line for each epoch of a fold."""
    return folder / f"fold-{fold}-epochs.jsonl"


def read_epochs(folder: Path) -> tuple[EpochDone, ...]:
    """Return the epochs that a trial reported, fold by fold; where it was begun anew, those of its last attempt."""
    return tuple(
        epoch
        for file in sorted(folder.glob("fold-*-epochs.jsonl"), key=lambda file: int(file.name.split("-")[1]))
        for epoch in {done.epoch: done for done in epochs_in(file)}.values()
    )


def epochs_in(file: Path) -> tuple[EpochDone, ...]:
    """Return what the lines of an epochs file say, leaving out a line that was cut off."""
    epochs = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            epochs.append(EpochDone(**json.loads(line)))
        except ValueError:  # the attempt was killed while it wrote its last line
            continue
    return tuple(epochs)


@dataclass(frozen=True)
class ModelCheck:
    """What one model of the space costs.

    Attributes:
        parameters: all weights of the model.
        memory_bytes: estimate for training: weights, their gradients, the optimizer's state, and for one batch every
            layer's output twice (once forward, once for its gradient).
        first_s: time of the first step, which traces and compiles.
        refused: why the study's own code will not build this one; all else is 0 then.
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
class PastTrial:
    """A trial of a shipped family that is over: its folder, and the folder of its prepared data."""

    folder: str
    data: str


def has_model(folder: Path) -> bool:
    """Say whether a trial's folder holds its model, or what it can be written from."""
    return (folder / MODEL_FILE).exists() or (folder / WEIGHTS_FILE).exists()


@dataclass(frozen=True)
class OwnEvaluation:
    """A trial of a study's own model, to score on the test rows.

    Attributes:
        base: folder that the model's file is relative to.
        data: folder that data preparation wrote.
        folder: the trial's folder.
    """

    model: str
    base: str
    data: str
    folder: str


@dataclass(frozen=True)
class Rejected:
    """How a trial ended whose model is over a ceiling: it was not trained."""

    reason: str


@dataclass(frozen=True)
class Fatal:
    """How a trial ended whose own code says that no other trial can succeed either: it failed, and the study ends."""

    reason: str
    traceback: str


class ModelTooLargeError(KerastudyError):
    """A trial's model is over a ceiling."""


def over_parameters(parameters: int, most: int) -> str:
    """Return why a trial is not trained whose model has more weights than `limits.parameters` allows."""
    return f"not trained: its model has {parameters:,} parameters, limits.parameters allows {most:,}"


class TrialError(KerastudyError):
    """A trial that cannot be scored; its message is the trial's reason."""


class NoObjectiveError(TrialError):
    """Training ran and gave no value for the objective: no trial of the study can be scored."""


class Listener(Protocol):
    """Hears a training go on, and may end it."""

    def batch(self) -> None:
        """A batch is done."""

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """An epoch is done; True ends the training as pruned."""


@dataclass(frozen=True)
class Fitted:
    """A training that ended: every epoch's metrics, and the best one; the model holds the best epoch's weights."""

    history: tuple[Mapping[str, float], ...]
    best_epoch: int
    best_value: float
    pruned: bool


@dataclass(frozen=True)
class Schedule:
    """How long a training goes on.

    Attributes:
        patience: epochs without an improvement by more than `min_delta` before it stops; None never stops it.
        seed: decides, with the epoch's number, which rows make which batch.
        keeps_last: whether the last epoch counts, whatever its score, and not the best one.
    """

    epochs: int
    batch_size: int
    patience: int | None
    min_delta: float
    seed: int
    keeps_last: bool = False


def schedule_of(job: TrialJob, fold: int, *, epochs: int, batch_size: int) -> Schedule:
    """Return how long a fold of a trial trains, with these of its values."""
    refits = job.refit_epochs is not None
    stopping = None if refits else job.training.early_stopping
    return Schedule(
        epochs=epochs if job.refit_epochs is None else min(epochs, job.refit_epochs),
        batch_size=batch_size,
        patience=stopping.patience if stopping else None,
        min_delta=stopping.min_delta if stopping else 0.0,
        seed=(job.seed + fold) % 2**32,
        keeps_last=refits,
    )


@dataclass(frozen=True)
class Rows:
    """The rows that a training sees."""

    train: Part
    validation: Part
    class_weight: Mapping[int, float] | None
