"""Rules of promotion: which of the paused trials goes on when a worker is free, and which trial pauses at a rung.

ASHA (asynchronous successive halving, Li et al. 2020, "A system for massively parallel hyperparameter tuning"): of all
trials that reached a rung the best third goes on to the next one. Nothing waits for a rung to be complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from optuna.trial import FrozenTrial, TrialState

from pipelines.search.rung_scores import rank_at
from search_spaces.values import Direction


class PromotionRule(Protocol):
    """Decides between paused trials and a new one.

    `paused` holds for each paused trial, by number, the epochs that it has trained. `trials` are all of the study but
    the rejected ones, with their curves as intermediate values; a paused trial is RUNNING among them.
    """

    def goes_on(self, number: int, epochs: int, trials: Sequence[FrozenTrial]) -> bool:
        """Return whether a trial that has reached a rung goes on at once."""

    def choose(self, paused: Mapping[int, int], trials: Sequence[FrozenTrial]) -> int | None:
        """Return the paused trial that goes on next; None where a new trial starts instead."""

    def choose_last(self, paused: Mapping[int, int], trials: Sequence[FrozenTrial]) -> int | None:
        """Return the paused trial that goes on where no new trial can start; None where none does for now."""

    def find_hopeless(self, paused: Mapping[int, int], trials: Sequence[FrozenTrial], most: int) -> list[int]:
        """Return the paused trials that can never go on, in a study of at most so many trials."""


class AshaRule:
    """Promotion of the best of each rung; see `PromotionRule`.

    Args:
        rungs: numbers of epochs after which trials pause.
        reduction: one trial of so many goes on.
        direction: which way the score is better.
    """

    def __init__(self, rungs: Sequence[int], reduction: int, direction: Direction) -> None:
        self._rungs = sorted(rungs)
        self._reduction = reduction
        self._direction = direction

    def goes_on(self, number: int, epochs: int, trials: Sequence[FrozenTrial]) -> bool:
        """Return whether a trial is among the best of its rung."""
        ranked = self._rank(self._find_rung(epochs), trials)
        return number in ranked[: len(ranked) // self._reduction]

    def choose(self, paused: Mapping[int, int], trials: Sequence[FrozenTrial]) -> int | None:
        """Return the best trial that its rung promotes, of the highest rung that promotes one."""
        for rung in reversed(self._rungs):
            if (found := self._choose_at(rung, paused, trials, lambda count: count // self._reduction)) is not None:
                return found
        return None

    def choose_last(self, paused: Mapping[int, int], trials: Sequence[FrozenTrial]) -> int | None:
        """Return what `choose` does, else the next trial of the lowest rung that no further trial will reach.

        There the number that goes on is rounded up, so that at least one trial gets to the end.
        """
        if (found := self.choose(paused, trials)) is not None:
            return found
        running = [trial for trial in trials if trial.state == TrialState.RUNNING and trial.number not in paused]
        for rung in self._rungs:
            if any(max(trial.intermediate_values, default=0) < rung for trial in running):
                return None
            found = self._choose_at(rung, paused, trials, lambda count: -(-count // self._reduction))
            if found is not None:
                return found
        return None

    def find_hopeless(self, paused: Mapping[int, int], trials: Sequence[FrozenTrial], most: int) -> list[int]:
        """Return the paused trials with too many better ones, whatever the trials to come reach."""
        found = []
        for rung in self._rungs:
            ranked = self._rank(rung, trials)
            reached = set(ranked)
            gone = sum(trial.state.is_finished() and trial.number not in reached for trial in trials)
            promoted = -(-(most - gone) // self._reduction)
            found += [number for number in ranked[promoted:] if self._is_paused_at(rung, number, paused)]
        return found

    def _choose_at(
        self, rung: int, paused: Mapping[int, int], trials: Sequence[FrozenTrial], count: Callable[[int], int]
    ) -> int | None:
        ranked = self._rank(rung, trials)
        best = ranked[: count(len(ranked))]
        return next((number for number in best if self._is_paused_at(rung, number, paused)), None)

    def _rank(self, rung: int, trials: Sequence[FrozenTrial]) -> list[int]:
        return rank_at(trials, rung, self._direction)

    def _is_paused_at(self, rung: int, number: int, paused: Mapping[int, int]) -> bool:
        return number in paused and self._find_rung(paused[number]) == rung

    def _find_rung(self, epochs: int) -> int:
        # A study file may have other epochs than when the trial was paused.
        return max((rung for rung in self._rungs if rung <= epochs), default=self._rungs[0])
