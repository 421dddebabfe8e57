"""Judges a training epoch by epoch, whichever trainer runs it: is it finite, is it the best, does it go on?

A training is scored by its best epoch, so that epoch's weights are kept, whether early stopping is on or not. One that
is to go on for so many epochs and no more is scored by its last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pipelines.training.messages import Fitted, Listener, NoObjectiveError, Schedule, TrialError


class Judge:
    """The judgement of one training."""

    def __init__(
        self, schedule: Schedule, metric: str, direction: Literal["minimize", "maximize"], listener: Listener
    ) -> None:
        self._schedule = schedule
        self._metric = metric
        self._sign = 1.0 if direction == "minimize" else -1.0
        self._listener = listener
        self._history: list[Mapping[str, float]] = []
        self._best_epoch = -1
        self._best_value = math.inf * self._sign
        self._best_weights: Sequence[Any] | None = None
        self._pruned = False
        self._improved_at = (-1, math.inf * self._sign)

    @property
    def epochs(self) -> int:
        """Number of epochs scored."""
        return len(self._history)

    def past(self) -> tuple[Mapping[str, Any], Sequence[Any]]:
        """Return the judgement so far as plain values, and the weights of the best epoch; for `go_on`."""
        plain = {
            "history": self._history,
            "best_epoch": self._best_epoch,
            "best_value": self._best_value,
            "improved_at": self._improved_at,
        }
        return plain, self._best_weights or ()

    def go_on(self, plain: Mapping[str, Any], best_weights: Sequence[Any]) -> None:
        """Take up the judgement of an earlier attempt, from `past`."""
        self._history = list(plain["history"])
        self._best_epoch, self._best_value = plain["best_epoch"], plain["best_value"]
        self._best_weights = best_weights
        epoch, value = plain["improved_at"]
        self._improved_at = (epoch, value)

    def stops(self, epoch: int, metrics: Mapping[str, float], weights: Callable[[], Sequence[Any]]) -> bool:
        """Score an epoch, counted from 0; say whether the training ends with it.

        `weights` gives a copy of the model's weights; it is called for a best epoch only.

        Raises:
            TrialError: if the loss or the objective is not finite, or the objective was not reported.
        """
        return self.ends(pruned=self._listener.epoch(epoch, self.score(epoch, metrics, weights)))

    def score(
        self, epoch: int, metrics: Mapping[str, float], weights: Callable[[], Sequence[Any]]
    ) -> Mapping[str, float]:
        """Score an epoch and return its finite metrics; the first half of `stops`.

        Raises:
            TrialError: as `stops` does.
        """
        value = self._checked(epoch, metrics)
        metrics = {name: number for name, number in metrics.items() if math.isfinite(number)}
        self._history.append(metrics)
        if self._counts(value):
            self._best_epoch, self._best_value, self._best_weights = epoch, value, weights()
        return metrics

    def ends(self, *, pruned: bool) -> bool:
        """Say whether the training ends with the epoch just scored; the second half of `stops`."""
        self._pruned = pruned
        if self._schedule.keeps_last and len(self._history) >= self._schedule.epochs:
            return True  # a `fit` of the study's own may mean to go on
        return pruned or self._is_out_of_patience(len(self._history) - 1, self._history[-1][self._metric])

    def verdict(self) -> tuple[Fitted, Sequence[Any]]:
        """Return how the training went, and the weights of its best epoch.

        Raises:
            TrialError: if no epoch was scored.
        """
        if self._best_weights is None:
            raise TrialError(f"training ended before its first epoch was scored on {self._metric}")
        fitted = Fitted(tuple(self._history), self._best_epoch, self._best_value, self._pruned)
        return fitted, self._best_weights

    def _counts(self, value: float) -> bool:
        """Say whether the epoch just scored is the one to keep so far."""
        if self._schedule.keeps_last:
            return len(self._history) <= self._schedule.epochs
        return self._sign * value < self._sign * self._best_value

    def _checked(self, epoch: int, metrics: Mapping[str, float]) -> float:
        if self._metric not in metrics:
            raise NoObjectiveError(f"training reported no {self._metric}, only {', '.join(sorted(metrics))}")
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
