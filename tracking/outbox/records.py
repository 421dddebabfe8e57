"""What a supervisor says about a study, as plain values: the rows of the outbox.

Each record can be delivered twice without harm. Times are milliseconds since 1970 and are fixed when the record
is made, because MLflow stores a repeated metric point once only if its timestamp is the same.

A trial that is trained again, to choose the winner or to hand it over, is a retraining of the trial. It has a name of
its own within it, such as `seed-1` or `refit`, and the same records as a trial, with that name in `retraining`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from search_spaces.values import Direction, Value

TrialState = Literal["complete", "pruned", "failed", "cancelled"]
StudyState = Literal["running", "finished", "paused", "failed", "cancelled"]


@dataclass(frozen=True)
class StudyOpened:
    """A study begins, or goes on after a pause: its parent run exists and is RUNNING.

    Attributes:
        artifacts: folder whose files belong to the parent run (study file, space, environment, split).
        parameters: names in the space, for the leaderboard's columns.
        columns: metrics besides the study's own that its leaderboard shows: further objectives.
        dataset: name, source, digest and the number of rows per part, for MLflow's dataset lineage.
    """

    study: str
    experiment: str
    metric: str
    direction: Direction
    parameters: tuple[str, ...]
    started_ms: int
    artifacts: str
    dataset_name: str
    dataset_source: str
    dataset_digest: str
    dataset_rows: Mapping[str, int]
    tags: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrialStarted:
    """A trial was handed to a worker. `params` holds active hyperparameters only."""

    study: str
    number: int
    params: Mapping[str, Value]
    started_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)
    retraining: str = ""


@dataclass(frozen=True)
class ParametersDrawn:
    """A trial's model asked for hyperparameters that the space does not declare, and got these values."""

    study: str
    number: int
    params: Mapping[str, Value]
    retraining: str = ""


@dataclass(frozen=True)
class EpochsRecorded:
    """Metrics of some epochs of a trial: (epoch, counted from 0; time; metrics by Keras's names)."""

    study: str
    number: int
    epochs: tuple[tuple[int, int, Mapping[str, float]], ...]
    retraining: str = ""


@dataclass(frozen=True)
class TrialFinished:
    """A trial ended.

    Attributes:
        metrics: `best_<metric>` values and `best_epoch`; empty for a trial that failed.
        value: the score; None for a trial that has none.
        reason: why it failed, was pruned or cancelled; one line.
        folder: folder whose files belong to the trial's run.
        model: folder of the MLflow model to keep with the run; None where it is not among the best.
        best_so_far: best score of the study up to this trial, for the parent's curve.
        tags: tags that its run gets besides.
        scored_ms: the time of its scores, the same however often its end is recorded; `finished_ms` where None.
    """

    study: str
    number: int
    state: TrialState
    value: float | None
    metrics: Mapping[str, float]
    reason: str
    finished_ms: int
    folder: str
    model: str | None = None
    best_so_far: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    scored_ms: int | None = None
    retraining: str = ""

    @property
    def at_ms(self) -> int:
        """Return the time of its scores."""
        return self.finished_ms if self.scored_ms is None else self.scored_ms


@dataclass(frozen=True)
class ModelKept:
    """A trial's model was written after the trial's end: it goes with the trial's run.

    Attributes:
        folder: folder whose files belong to the trial's run.
        model: folder of the MLflow model.
    """

    study: str
    number: int
    folder: str
    model: str


@dataclass(frozen=True)
class ModelDisplaced:
    """A trial fell out of the best `keep_models`: its logged model goes."""

    study: str
    number: int


@dataclass(frozen=True)
class StudyClosed:
    """A study ended or was paused.

    Attributes:
        winner: number of the best trial; None where no trial completed.
        artifacts: folder whose files belong to the parent run (trials.csv, report.html, plots).
        register: registered model's name for the winner; None while the study is only paused.
        test: the winner's metrics on the test rows.
        retraining: the retraining of the winner whose model is registered; the trial's own where empty.
        metrics: what the study's run shows besides, such as the winner's mean over its retrainings.
        front: numbers of the trials that no other equals or betters in all of several objectives.
    """

    study: str
    state: StudyState
    reason: str
    finished_ms: int
    winner: int | None
    best_value: float | None
    trials: Mapping[str, int]
    artifacts: str
    register: str | None = None
    alias: str | None = None
    test: Mapping[str, float] = field(default_factory=dict)
    retraining: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    front: tuple[int, ...] = ()


TrialRecord = TrialStarted | ParametersDrawn | EpochsRecorded | TrialFinished
Record = StudyOpened | TrialRecord | ModelKept | ModelDisplaced | StudyClosed

_KINDS: Final[Mapping[str, Callable[..., Record]]] = {
    kind.__name__: kind
    for kind in (
        StudyOpened,
        TrialStarted,
        EpochsRecorded,
        TrialFinished,
        ModelKept,
        ModelDisplaced,
        ParametersDrawn,
        StudyClosed,
    )
}


def encoded(record: Record) -> tuple[str, str]:
    """Return a record as text to store: its kind, and its values as JSON."""
    return type(record).__name__, json.dumps(asdict(record))


def decoded(kind: str, payload: str) -> Record:
    """Return the record that was `encoded`."""
    values: dict[str, Any] = json.loads(payload)
    if "parameters" in values:
        values["parameters"] = tuple(values["parameters"])
    for listed in ("columns", "front"):
        if listed in values:
            values[listed] = tuple(values[listed])
    if "epochs" in values:
        values["epochs"] = tuple((epoch, at_ms, metrics) for epoch, at_ms, metrics in values["epochs"])
    return _KINDS[kind](**values)
