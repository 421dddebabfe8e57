"""Events of a study at work, yielded by its supervisor: plain values, one class for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.baselines.results import Baselines
from pipelines.data.prepared import DataSummary
from pipelines.selection.finalists import Finalist
from pipelines.study.objective import Objective
from search_spaces.values import Direction, Value
from tracking.outbox.records import StudyState


@dataclass(frozen=True)
class SearchFacts:
    """Facts of a search when it starts, as plain values: what a display of its progress needs.

    Attributes:
        done: trials of the budget that earlier runs have used.
        best: best score of those; None where there is none.
        paused: trials of earlier runs that are paused.
        states: number of the trials that earlier runs ended, by state.
        curve: the best score so far after each of those that is complete.
        left_s: seconds left of the budget's time; None where there is no such limit.
        best_trial: number of the trial with the best score.
    """

    study: str
    metric: str
    direction: Direction
    budget: int
    done: int
    best: float | None
    workers: int
    trained: str = ""
    paused: tuple[int, ...] = ()
    states: Mapping[str, int] = field(default_factory=dict)
    curve: tuple[float, ...] = ()
    left_s: float | None = None
    best_trial: int | None = None


@dataclass(frozen=True)
class SearchStarted:
    """The search started: trials can run.

    Attributes:
        done: trials of the budget that earlier runs have used.
        best: best score of those; None where there is none.
        trained: the way in which trials train, in words.
        notes: of the check of a user model.
        combinations: how many combinations there are to try, in words; empty where nothing follows from their number.
        sampling: the sampler, in words.
        pruning: the pruner, in words.
        starting: the starting points beside those of the space, in words.
        paused: trials of earlier runs that are paused.
        layout: the engine and the devices of its workers, in words; empty where they are this machine's cores.
        states: see `SearchFacts`; so are `curve`, `left_s` and `best_trial`.
    """

    study: str
    data: DataSummary
    objective: Objective
    budget: int
    done: int
    best: float | None
    workers: int
    trained: str = ""
    notes: tuple[str, ...] = ()
    combinations: tuple[str, ...] = ()
    sampling: str = ""
    pruning: str = ""
    starting: str = ""
    paused: tuple[int, ...] = ()
    layout: str = ""
    states: Mapping[str, int] = field(default_factory=dict)
    curve: tuple[float, ...] = ()
    left_s: float | None = None
    best_trial: int | None = None

    def summarize(self) -> SearchFacts:
        """Return its plain facts."""
        return SearchFacts(
            study=self.study,
            metric=self.objective.metric,
            direction=self.objective.direction,
            budget=self.budget,
            done=self.done,
            best=self.best,
            workers=self.workers,
            trained=self.trained,
            paused=self.paused,
            states=self.states,
            curve=self.curve,
            left_s=self.left_s,
            best_trial=self.best_trial,
        )


@dataclass(frozen=True)
class Watching:
    """Another process holds the study, and cannot be seen to be alive: it is watched for so many seconds."""

    holder: str
    seconds: float


@dataclass(frozen=True)
class EngineLost:
    """What the trials ran on is gone, such as a cluster; the study waits for it, for at most so many seconds."""

    study: str
    reason: str
    seconds: float


@dataclass(frozen=True)
class EngineRestored:
    """What the trials ran on is back after so many seconds: the study goes on from its checkpoints."""

    seconds: float


@dataclass(frozen=True)
class BaselinesReady:
    """The baselines of the study have scores, or a reason why they have none."""

    baselines: Baselines


@dataclass(frozen=True)
class TrialBegan:
    """A trial started in a worker; after `resumed_after` epochs where it goes on after a pause.

    Attributes:
        fleet: name of the fleet's job; empty where it trains alone.
    """

    number: int
    params: Mapping[str, Value]
    resumed_after: int = 0
    fleet: str = ""


@dataclass(frozen=True)
class EpochEnded:
    """A trial finished an epoch, counted from 1; `value` is the objective there."""

    number: int
    epoch: int
    of: int
    value: float


@dataclass(frozen=True)
class TrialTriedAgain:
    """A trial lost its worker and continues from its last checkpoint in another: attempt number `attempt` of `of`."""

    number: int
    params: Mapping[str, Value]
    reason: str
    attempt: int
    of: int


@dataclass(frozen=True)
class TrialPaused:
    """A trial was paused at a rung: it goes on later, or never; `value` is its best score so far."""

    number: int
    value: float
    reason: str


@dataclass(frozen=True)
class Noted:
    """A decision that was made for the user, and how to change it, in one line."""

    note: str


@dataclass(frozen=True)
class ImprovementEstimated:
    """The sampler expects the next trial to be better than the best so far by `value`, in the objective's unit."""

    value: float


@dataclass(frozen=True)
class FleetDivided:
    """So many trials lost their fleet, and continue from their last checkpoints in smaller fleets, one in another.

    Attributes:
        alone: how many of them start again and train alone, since their fleets failed repeatedly.
    """

    trials: int
    reason: str
    alone: int = 0


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
    """The search ended; these trials are retrained to choose the winner, so many trainings at most.

    Attributes:
        numbers: the trials; empty where `selection: auto` trains none again.
        trainings: those that are to go; 0 where the trials cannot be distinguished, or were trained before.
        epochs: epochs of these trainings, if each takes as many as the trial took.
        seconds: their time, if each takes as long as the trial took.
        reason: why a study decided by itself; empty where the study file did.
    """

    numbers: tuple[int, ...]
    trainings: int
    reason: str = ""
    epochs: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class RetrainingEnded:
    """A retraining of a trial ended; `retraining` is its name within the trial, such as `seed-1` or `refit`."""

    number: int
    retraining: str
    state: str
    value: float | None
    reason: str
    seconds: float


@dataclass(frozen=True)
class RefitComparing:
    """The winner's way of training is compared with that of a refit, by so many trainings."""

    number: int
    trainings: int


@dataclass(frozen=True)
class RefitCompared:
    """The comparison of the winner with a refit ended; `reason` states the scores and the decision in one line."""

    number: int
    is_as_good: bool
    reason: str


@dataclass(frozen=True)
class EnsembleTraining:
    """The winner is trained again for an ensemble: so many trainings, described by `what`."""

    number: int
    trainings: int
    what: str


@dataclass(frozen=True)
class EnsembleDecided:
    """The ensemble of the winner is built, or is not; `reason` states the scores and the decision in one line."""

    number: int
    is_as_good: bool
    reason: str


@dataclass(frozen=True)
class Delivering:
    """The study ended; its last records are delivered to MLflow.

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
        is_requested: its pause or its cancellation was requested.
        winner: number of the best trial; None where no trial completed.
        test: the winner's metrics on the test rows; empty where there are none.
        undelivered: records that wait for MLflow; `kerastudy sync` delivers them.
        finalists: the candidates that were retrained, the winner first; empty where nothing was retrained.
        refit: the winner was retrained on training and validation rows, and that model wins.
        refit_reason: why that is so, or why it is not, in one line; empty where no refit was compared.
        ensemble: mean score of the ensemble's trainings, where it is kept.
        ensemble_reason: why the winner's ensemble is delivered, or is not, in one line; empty where none was built.
        baselines: the study's baselines; None where there are none.
        unbeaten: the baselines that the winner does not beat, in words; empty where it beats all.
        epochs: epochs that all its trials have trained.
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
    refit_reason: str = ""
    ensemble: float | None = None
    ensemble_reason: str = ""
    baselines: Baselines | None = None
    unbeaten: str = ""
    epochs: int = 0


StudyEvent = (
    Watching
    | EngineLost
    | EngineRestored
    | SearchStarted
    | BaselinesReady
    | TrialBegan
    | EpochEnded
    | TrialTriedAgain
    | TrialPaused
    | ImprovementEstimated
    | Noted
    | FleetDivided
    | TrialEnded
    | FinalistsChosen
    | RetrainingEnded
    | RefitComparing
    | RefitCompared
    | EnsembleTraining
    | EnsembleDecided
    | Delivering
    | StudyEnded
)
