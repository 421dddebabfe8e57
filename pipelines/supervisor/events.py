"""What a supervisor says while it works, for whoever shows it: plain values, one class an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.data.prepared import DataSummary
from pipelines.selection.finalists import Finalist
from pipelines.study.objective import Objective
from search_spaces.values import Value
from tracking.outbox.records import StudyState


@dataclass(frozen=True)
class SearchStarted:
    """Trials can start.

    Attributes:
        done: trials that earlier runs of this study have used of its budget.
        best: best score of those, if there is one.
        trained: how trials are trained, in words.
    """

    study: str
    data: DataSummary
    objective: Objective
    budget: int
    done: int
    best: float | None
    workers: int
    trained: str = ""


@dataclass(frozen=True)
class Watching:
    """The study is held by a process that cannot be seen to be alive: for so many seconds it may show that it is."""

    holder: str
    seconds: float


@dataclass(frozen=True)
class TrialBegan:
    """A trial was handed to a worker."""

    number: int
    params: Mapping[str, Value]


@dataclass(frozen=True)
class EpochEnded:
    """A trial finished an epoch, counted from 1; `value` is the objective there."""

    number: int
    epoch: int
    of: int
    value: float


@dataclass(frozen=True)
class TrialTriedAgain:
    """A trial lost its worker and goes on from its last checkpoint in another: the `attempt`th of at most `of`."""

    number: int
    params: Mapping[str, Value]
    reason: str
    attempt: int
    of: int


@dataclass(frozen=True)
class FleetDivided:
    """So many trials lost their fleet, and go on from their last checkpoints in smaller ones."""

    trials: int
    reason: str


@dataclass(frozen=True)
class TrialEnded:
    """A trial ended; `is_best` if it is the best of the study so far."""

    number: int
    state: str
    value: float | None
    reason: str
    seconds: float | None
    is_best: bool


@dataclass(frozen=True)
class FinalistsChosen:
    """The search is over; these trials are trained again, so many trainings in all, to choose the winner."""

    numbers: tuple[int, ...]
    trainings: int


@dataclass(frozen=True)
class RetrainingEnded:
    """A further training of a trial ended; `retraining` names it within the trial, such as `seed-1` or `refit`."""

    number: int
    retraining: str
    state: str
    value: float | None
    reason: str
    seconds: float


@dataclass(frozen=True)
class Delivering:
    """The search is over; what is left goes to MLflow.

    Attributes:
        waiting: records not delivered yet.
        error: why the last attempt failed; empty while all is well.
    """

    waiting: int
    error: str


@dataclass(frozen=True)
class StudyEnded:
    """The study ended or was paused.

    Attributes:
        asked_for: somebody asked for its pause, or for its end.
        winner: number of the best trial; None where no trial completed.
        test: the winner's metrics on the test rows; empty where there are none.
        undelivered: records that still wait for MLflow; `kerastudy sync` sends them.
        finalists: what the winner was chosen from by further trainings, the winner first; empty where it was not.
        refit: the winner was trained once more on training and validation rows, and that model is handed over.
        ensemble: the finalists' models averaged beat the winner's on the validation rows, with this score.
    """

    study: str
    state: StudyState
    reason: str
    metric: str
    winner: int | None
    value: float | None
    test: Mapping[str, float]
    trials: Mapping[str, int]
    seconds: float
    undelivered: int
    undelivered_error: str
    is_requested: bool = False
    finalists: tuple[Finalist, ...] = ()
    refit: bool = False
    ensemble: float | None = None


StudyEvent = (
    Watching
    | SearchStarted
    | TrialBegan
    | EpochEnded
    | TrialTriedAgain
    | FleetDivided
    | TrialEnded
    | FinalistsChosen
    | RetrainingEnded
    | Delivering
    | StudyEnded
)
