"""One retraining of a trial, as the supervisor knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pipelines.training.messages import EpochDone, TrialJob
from search_spaces.values import Value


@dataclass
class RetrainingJob:
    """A retraining that waits for a worker or runs in one.

    Attributes:
        number: the trial's.
        retraining: its name within the trial, such as `seed-1` or `refit`.
        params: hyperparameters of the trial.
        job: payload of its training.
        may_join_fleet: whether its trial trained in a fleet, and it does nothing but train.
        started_ms: start of its last attempt, in milliseconds since 1970.
        started: the same by the monotonic clock, in seconds.
        spent_s: seconds of each failed attempt.
        unsent: epochs that are not recorded for MLflow yet.
        find_defect: returns why a model with a score is worth nothing; empty for one that is sound.
    """

    number: int
    retraining: str
    params: dict[str, Value]
    job: TrialJob
    may_join_fleet: bool = False
    started_ms: int = 0
    started: float = 0.0
    spent_s: list[float] = field(default_factory=list)
    unsent: list[EpochDone] = field(default_factory=list)
    find_defect: Callable[[float], str] = lambda value: ""

    @property
    def name(self) -> str:
        """Name of its job."""
        return f"trial-{self.number}-{self.retraining}"
