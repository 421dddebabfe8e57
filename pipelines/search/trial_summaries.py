"""Summaries of a study's trials, read from Optuna's user attributes, and their ranking."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from pipelines.study.objective import Objective
from pipelines.training.resource_use import UNKNOWN_USE, ResourceUse
from search_spaces.values import Value
from tracking.outbox.records import TrialState

# Keys in Optuna's database: under other ones the results of earlier studies are not found.
VALUES = "kerastudy:values"
RESULT = "kerastudy:result"
FAILED_ATTEMPTS = "kerastudy:failed_attempts"
REJECTED = "kerastudy:rejected"
PAUSED = "kerastudy:paused"
"""What a trial had reached when it was last paused; its `state` is "running" once it goes on."""


@dataclass(frozen=True)
class Attempt:
    """A failed try at a trial: the reason, and the seconds until its worker ended."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class TrialSummary:
    """A trial as `show`, `trials` and the reports list it.

    Attributes:
        params: active hyperparameters, fixed ones included.
        best_epoch: counted from 1.
        reason: why it was pruned, failed or cancelled.
        failed_attempts: tries that cost a worker each; the trial went on from its last checkpoint.
        epochs: epochs that it has trained, over all its folds and seeds; None where that is not known.
        ended: time of its end or its last pause, in seconds since 1970; None before.
        metrics: every metric at the best epoch.
        parameters: trainable weights of the model.
        trainer: see `TrialResult`.
        goals: values of the objectives after the first, whose value is `value`.
        resources: what its training used of its worker.
        fits: False for a trial that the space could no longer have drawn since it was changed.
    """

    number: int
    state: TrialState | Literal["running", "paused"]
    value: float | None
    params: Mapping[str, Value]
    best_epoch: int | None = None
    seconds: float | None = None
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: int | None = None
    fits: bool = True
    trainer: str = ""
    goals: tuple[float, ...] = ()
    failed_attempts: tuple[Attempt, ...] = ()
    epochs: int | None = None
    resources: ResourceUse = UNKNOWN_USE
    ended: float | None = field(default=None, compare=False)

    @property
    def end(self) -> TrialState | None:
        """Its state, if nothing about it changes any more; else None."""
        # mypy narrows by no other form of this comparison.
        return None if self.state == "running" or self.state == "paused" else self.state  # noqa: PLR1714

    @property
    def has_ended(self) -> bool:
        """Whether nothing about it changes any more."""
        return self.end is not None

    @property
    def values(self) -> tuple[float, ...]:
        """Return the value of each objective; empty where the trial has none."""
        return () if self.value is None else (self.value, *self.goals)

    def to_result(self) -> dict[str, Any]:
        """Return what `RESULT` and `PAUSED` store; the other fields stand elsewhere in the trial."""
        elsewhere = ("number", "failed_attempts", "ended")
        stored = {key: value for key, value in asdict(self).items() if key not in elsewhere}
        return {**stored, "goals": list(self.goals)}


def summarize_trials(study: optuna.Study) -> tuple[TrialSummary, ...]:
    """Return the summary of every trial of an Optuna study, in order, without those that a constraint rejected."""
    return tuple(summarize_trial(trial) for trial in study.get_trials(deepcopy=False) if takes_up_budget(trial))


def summarize_trial(trial: FrozenTrial) -> TrialSummary:
    """Return the summary of a trial: its result where it has ended, its values so far while it runs."""
    attrs = trial.user_attrs
    attempts = read_failed_attempts(attrs)
    # RESULT is written before Optuna's state: a kill between the two leaves a running trial with a result.
    if RESULT in attrs and trial.state.is_finished():
        return _read_summary(trial, attrs[RESULT], attempts)
    reason = f"tried again after: {attempts[-1].reason}" if attempts else ""
    if PAUSED in attrs:
        paused = _read_summary(trial, attrs[PAUSED], attempts)
        return paused if paused.state == "paused" else replace(paused, reason=reason)
    values = attrs.get(VALUES, trial.params)
    return TrialSummary(trial.number, "running", None, values, reason=reason, failed_attempts=attempts)


def _read_summary(trial: FrozenTrial, stored: Mapping[str, Any], attempts: tuple[Attempt, ...]) -> TrialSummary:
    ended = trial.datetime_complete.timestamp() if trial.datetime_complete else stored.get("paused_at")
    fields = {key: value for key, value in stored.items() if key != "paused_at"}
    fields["goals"] = tuple(fields.get("goals", ()))
    fields["resources"] = ResourceUse.from_stored(fields.get("resources"))
    return TrialSummary(trial.number, **fields, failed_attempts=attempts, ended=ended)


def is_paused(trial: FrozenTrial) -> bool:
    """Return whether a trial is paused."""
    return trial.state == OptunaState.RUNNING and trial.user_attrs.get(PAUSED, {}).get("state") == "paused"


def takes_up_budget(trial: FrozenTrial) -> bool:
    """Return whether a trial counts: it was started, and no constraint rejected it."""
    return trial.state != OptunaState.WAITING and REJECTED not in trial.user_attrs


def read_failed_attempts(attrs: Mapping[str, Any]) -> tuple[Attempt, ...]:
    """Return the failed attempts in a trial's user attributes."""
    return tuple(Attempt(**each) for each in attrs.get(FAILED_ATTEMPTS, ()))


def find_best(trials: Iterable[TrialSummary], objective: Objective) -> TrialSummary | None:
    """Return the first of `rank_trials`; None where no trial could win."""
    return next(iter(rank_trials(trials, objective)), None)


def find_best_paused(trials: Iterable[TrialSummary], objective: Objective) -> TrialSummary | None:
    """Return the paused trial with the best score so far, of equals the earlier one; None where none is paused."""
    sign = 1.0 if objective.direction == "minimize" else -1.0
    scores = [(sign * trial.value, trial) for trial in trials if trial.state == "paused" and trial.value is not None]
    return min(scores, key=lambda each: (each[0], each[1].number))[1] if scores else None


def rank_trials(trials: Iterable[TrialSummary], objective: Objective) -> list[TrialSummary]:
    """Return the complete trials that fit the present space, the best first.

    Of several objectives the first decides, then the next; of equals the lower `val_loss` comes first, then the earlier
    one. A trial outside the bounds of any is left out.
    """
    could_win = [
        trial
        for trial in trials
        if trial.state == "complete" and trial.value is not None and trial.fits and objective.keeps_bounds(trial.values)
    ]

    def rank(trial: TrialSummary) -> tuple[tuple[float, ...], float, int]:
        # An accuracy of a few rows has many ties.
        return objective.rank(trial.values), trial.metrics.get("val_loss", math.inf), trial.number

    return sorted(could_win, key=rank)


def list_best_so_far(trials: Iterable[TrialSummary], objective: Objective) -> list[float]:
    """Return the best score so far after each complete trial."""
    curve: list[float] = []
    for trial in trials:
        if trial.state == "complete" and trial.value is not None:
            is_better = not curve or objective.is_better(trial.value, curve[-1])
            curve.append(trial.value if is_better else curve[-1])
    return curve


def find_pareto_front(trials: Iterable[TrialSummary], objective: Objective) -> list[TrialSummary]:
    """Return the trials that no other one equals or betters in every objective, best first.

    Of trials that are equal in all objectives it is the earliest one. With one objective it is the best trial alone.
    """
    found: list[TrialSummary] = []
    for trial in rank_trials(trials, objective):  # a trial can only be worse than one that comes before it
        rank = objective.rank(trial.values)
        if not any(all(a <= b for a, b in zip(objective.rank(each.values), rank, strict=True)) for each in found):
            found.append(trial)
    return found


def select_kept(trials: Iterable[TrialSummary], objective: Objective, most: int) -> list[TrialSummary]:
    """Return the trials whose models are kept: the best `most`, and with several objectives the Pareto front too."""
    trials = list(trials)
    best = rank_trials(trials, objective)[:most]
    numbers = {trial.number for trial in best}
    also = find_pareto_front(trials, objective) if objective.goals else []
    return [*best, *(trial for trial in also if trial.number not in numbers)]


def count_epochs(trials: Iterable[TrialSummary]) -> int:
    """Return the epochs that trials have trained, as far as they are known."""
    return sum(trial.epochs or 0 for trial in trials)


def count_by_state(trials: Sequence[TrialSummary]) -> dict[str, int]:
    """Return the number of trials in each state that occurs."""
    return dict(sorted(Counter(trial.state for trial in trials).items()))
