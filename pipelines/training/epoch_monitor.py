"""Monitor of a training: finite metrics, the best epoch, early stopping; the same for every trainer.

A training is scored by its best epoch, so that epoch's weights are kept, whether early stopping is on or not. Of epochs
with the same score it is the one with the lowest `val_loss`, since an accuracy of a few rows has many ties. A training
of a fixed number of epochs is scored by its last one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipelines.training.errors import NoObjectiveError, TrialError
from pipelines.training.messages import RungDecision
from pipelines.training.schedule import Schedule
from search_spaces.values import Direction


class EpochListener(Protocol):
    """Receiver of a training's progress, which may end the training."""

    def record_batch(self) -> None:
        """Record that a batch is done."""

    def record_epoch(self, epoch: int, metrics: Mapping[str, float]) -> RungDecision:
        """Record an epoch, counted from 0, and return whether the training goes on."""


@dataclass(frozen=True)
class FitResult:
    """A training that ended: every epoch's metrics, and the best one; the model holds the best epoch's weights.

    Attributes:
        pruned: whether it ended at a rung.
        paused: whether it may go on from there; its checkpoint is written.
        score_metrics: metrics of a score that is no epoch's, such as a mean of several trainings; None for an epoch's.
    """

    history: tuple[Mapping[str, float], ...]
    best_epoch: int
    best_value: float
    pruned: bool
    score_metrics: Mapping[str, float] | None = None
    paused: bool = False

    @property
    def metrics(self) -> Mapping[str, float]:
        """Metrics of the score, the objective among them."""
        return self.history[self.best_epoch] if self.score_metrics is None else self.score_metrics


class EpochMonitor:
    """State of one training after each epoch: its history, its best epoch, its patience.

    Args:
        schedule: decides when the training stops, and which epoch counts.
        metric: the objective.
        direction: which way it is better.
        listener: receives each epoch from `observe`.
    """

    def __init__(
        self, schedule: Schedule, metric: str, direction: Direction, listener: EpochListener | None = None
    ) -> None:
        self._schedule = schedule
        self._metric = metric
        self._sign = 1.0 if direction == "minimize" else -1.0
        self._listener = listener
        self._history: list[Mapping[str, float]] = []
        self._best_epoch = -1
        self._best_value = math.inf * self._sign
        self._best_weights: Sequence[Any] | None = None
        self._decision: RungDecision = "go_on"
        # Apart from the best: an epoch better by less than `min_delta` is the best, but does not renew the patience.
        self._improved_at = (-1, math.inf * self._sign)

    @property
    def epochs(self) -> int:
        """Number of epochs scored."""
        return len(self._history)

    @property
    def is_pruned(self) -> bool:
        """Whether the training ended at a rung, for good or until it goes on."""
        return self._decision in ("prune", "pause")

    @property
    def is_paused(self) -> bool:
        """Whether the training is to go on later from a checkpoint of its present state."""
        return self._decision == "pause"

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        """Finite metrics of each epoch."""
        return self._history

    def renew_patience(self) -> None:
        """Count the epochs without an improvement from here on: another part of the training begins."""
        self._improved_at = (len(self._history) - 1, self._improved_at[1])

    def capture(self) -> tuple[Mapping[str, Any], Sequence[Any]]:
        """Return the state as plain values, and the weights of the best epoch; for `restore`."""
        plain = {
            "history": self._history,
            "best_epoch": self._best_epoch,
            "best_value": self._best_value,
            "improved_at": self._improved_at,
        }
        return plain, self._best_weights or ()

    def restore(self, plain: Mapping[str, Any], best_weights: Sequence[Any]) -> None:
        """Set the state of an earlier attempt, from `capture`."""
        self._history = list(plain["history"])
        self._best_epoch, self._best_value = plain["best_epoch"], plain["best_value"]
        self._best_weights = best_weights
        epoch, value = plain["improved_at"]  # a pair, which JSON turned into a list
        self._improved_at = (epoch, value)

    def observe(self, epoch: int, metrics: Mapping[str, float], weights: Callable[[], Sequence[Any]]) -> bool:
        """Update with an epoch, pass it to the listener, and return whether the training stops with it.

        Raises:
            TrialError: as `update` does.
        """
        finite = self.update(epoch, metrics, weights)
        return self.should_stop("go_on" if self._listener is None else self._listener.record_epoch(epoch, finite))

    def update(
        self, epoch: int, metrics: Mapping[str, float], weights: Callable[[], Sequence[Any]]
    ) -> Mapping[str, float]:
        """Score an epoch, counted from 0, and return its finite metrics.

        Args:
            epoch: its number.
            metrics: by Keras's names.
            weights: returns a copy of the model's weights; called for a best epoch only.

        Raises:
            TrialError: if the loss or the objective is not finite, or the objective is missing.
        """
        value = self._check(epoch, metrics)
        metrics = {name: number for name, number in metrics.items() if math.isfinite(number)}
        self._history.append(metrics)
        if self._is_best(value, metrics):
            self._best_epoch, self._best_value, self._best_weights = epoch, value, weights()
        return metrics

    def should_stop(self, decision: RungDecision) -> bool:
        """Return whether the training stops with the epoch that `update` has just scored."""
        self._decision = decision
        if self._schedule.keeps_last and len(self._history) >= self._schedule.epochs:
            return True  # the `fit` of a user model may train more epochs than it was given
        # Before a pause too: its checkpoint holds the patience that is left.
        is_over = self._is_out_of_patience(len(self._history) - 1, self._history[-1][self._metric])
        if is_over and decision == "pause":
            self._decision = "go_on"  # early stopping has completed the training
        return is_over or self.is_pruned

    def result(self) -> tuple[FitResult, Sequence[Any]]:
        """Return the result of the training, and the weights of its best epoch.

        Raises:
            TrialError: if no epoch was scored.
        """
        if self._best_weights is None:
            raise TrialError(f"training ended before its first epoch was scored on {self._metric}")
        result = FitResult(
            tuple(self._history), self._best_epoch, self._best_value, self.is_pruned, paused=self.is_paused
        )
        return result, self._best_weights

    def _is_best(self, value: float, metrics: Mapping[str, float]) -> bool:
        """Return whether the epoch just scored is the one to keep so far; of equals that of the lower `val_loss`."""
        if self._schedule.keeps_last:
            return len(self._history) <= self._schedule.epochs
        if value == self._best_value and "val_loss" in metrics:
            return metrics["val_loss"] < self._history[self._best_epoch].get("val_loss", -math.inf)
        return self._sign * value < self._sign * self._best_value

    def _check(self, epoch: int, metrics: Mapping[str, float]) -> float:
        if self._metric not in metrics:
            raise NoObjectiveError(f"training reported no {self._metric}, only {', '.join(sorted(metrics))}")
        # Any other metric may be not finite: `update` leaves it out.
        for name in ("loss", "val_loss", self._metric):
            if not math.isfinite(metrics.get(name, 0.0)):
                raise TrialError(f"{name} became {metrics[name]} in epoch {epoch + 1}")
        return metrics[self._metric]

    def _is_out_of_patience(self, epoch: int, value: float) -> bool:
        since, reference = self._improved_at
        if self._sign * value < self._sign * reference - self._schedule.min_delta:
            self._improved_at = (epoch, value)
            return False
        return self._schedule.patience is not None and epoch - since >= self._schedule.patience
