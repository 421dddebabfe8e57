"""Records of a study for MLflow, as plain values: the rows of the outbox.

Each record can be delivered twice without harm. Times are milliseconds since 1970 and are fixed when the record
is made, because MLflow stores a repeated metric point once only if its timestamp is the same.

A further training of a trial, to choose the winner or to deliver its model, is a retraining. It has a name within the
trial, such as `seed-1` or `refit`, and the same records as a trial, with that name in `retraining`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from search_spaces.values import Direction, Value

TrialState = Literal["complete", "pruned", "failed", "cancelled"]
StudyState = Literal["running", "finished", "paused", "failed", "cancelled"]


@dataclass(frozen=True)
class StudyOpened:
    """Start of a study, or its continuation after a pause: its parent run exists and is RUNNING.

    Attributes:
        artifacts: folder whose files belong to the parent run (study file, space, environment, split).
        parameters: names in the space, for the leaderboard's columns.
        columns: further metrics in the leaderboard: the other objectives.
        dataset: name, source, digest and the number of rows per part, for MLflow's dataset lineage.
        user: who submitted it to a service; empty for a study that its user runs.
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
    user: str = ""


@dataclass(frozen=True)
class TrialStarted:
    """Start of a trial: a worker received it. `params` holds active hyperparameters only.

    Attributes:
        resumed: whether it was paused before, and goes on.
    """

    study: str
    number: int
    params: Mapping[str, Value]
    started_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)
    retraining: str = ""
    resumed: bool = False


@dataclass(frozen=True)
class TrialPaused:
    """Pause of a trial at a rung: its run stays RUNNING.

    Attributes:
        reason: the epoch that it was paused after; one line.
    """

    study: str
    number: int
    value: float
    reason: str
    retraining: str = ""


@dataclass(frozen=True)
class ParametersDrawn:
    """Values of hyperparameters that a trial's model requested and the space does not declare."""

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
    """End of a trial.

    Attributes:
        metrics: `best_<metric>` values and `best_epoch`; empty for a trial that failed.
        value: the score; None for a trial that has none.
        reason: why it failed, was pruned or cancelled; one line.
        folder: folder whose files belong to the trial's run.
        model: folder of the MLflow model to keep with the run; None where it is not among the best.
        best_so_far: best score of the study up to this trial, for the parent's curve.
        tags: further tags of its run.
        score_time_ms: the time of its scores, the same however often its end is recorded; `finished_ms` where None.
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
    score_time_ms: int | None = None
    retraining: str = ""

    @property
    def at_ms(self) -> int:
        """Time of its scores."""
        return self.finished_ms if self.score_time_ms is None else self.score_time_ms


@dataclass(frozen=True)
class ModelKept:
    """Model of a trial, written after the trial's end: it is added to the trial's run.

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
    """Trial that is no longer among the best `keep_models`: its logged model is deleted.

    Attributes:
        retraining: a retraining of the trial instead, whose model another one takes the place of.
    """

    study: str
    number: int
    retraining: str = ""


@dataclass(frozen=True)
class StudyClosed:
    """End or pause of a study.

    Attributes:
        winner: number of the best trial; None where no trial completed.
        artifacts: folder whose files belong to the parent run (trials.csv, report.html, plots).
        register: registered model's name for the winner; None while the study is only paused.
        test: the winner's metrics on the test rows.
        retraining: retraining of the winner whose model is registered; empty for the model of the trial itself.
        metrics: further metrics of the study's run, such as the winner's mean over its retrainings.
        pareto_front: numbers of the trials that no other equals or betters in all of several objectives.
        tags: further tags of the study's run.
        winner_artifacts: folder whose files belong to the run of the model that is registered.
        winner_metrics: metrics of that run that only a winner has, such as its calibration error.
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
    pareto_front: tuple[int, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    winner_artifacts: str = ""
    winner_metrics: Mapping[str, float] = field(default_factory=dict)


TrialRecord = TrialStarted | TrialPaused | ParametersDrawn | EpochsRecorded | TrialFinished
Record = StudyOpened | TrialRecord | ModelKept | ModelDisplaced | StudyClosed

_KINDS: Final[Mapping[str, Callable[..., Record]]] = {
    # The names are stored in the outbox: a renamed class cannot read its old rows.
    kind.__name__: kind
    for kind in (
        StudyOpened,
        TrialStarted,
        TrialPaused,
        EpochsRecorded,
        TrialFinished,
        ModelKept,
        ModelDisplaced,
        ParametersDrawn,
        StudyClosed,
    )
}


def encode_record(record: Record) -> tuple[str, str]:
    """Return a record as text to store: its kind, and its values as JSON."""
    # Not `asdict`, which copies every value of every epoch.
    return type(record).__name__, json.dumps(vars(record))


def decode_record(kind: str, payload: str) -> Record:
    """Return the record from what `encode_record` returned."""
    values: dict[str, Any] = json.loads(payload)
    # JSON has no tuples, and a record that is read must equal the one that was written.
    if "parameters" in values:
        values["parameters"] = tuple(values["parameters"])
    for listed in ("columns", "pareto_front"):
        if listed in values:
            values[listed] = tuple(values[listed])
    if "epochs" in values:
        values["epochs"] = tuple((epoch, at_ms, metrics) for epoch, at_ms, metrics in values["epochs"])
    return _KINDS[kind](**values)
