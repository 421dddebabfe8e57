"""Learning curves of running trials as Optuna's intermediate values: the best score so far at a few epochs.

A key is the number of finished epochs, a value the best score until then. The keys grow geometrically, since a curve
changes most at its beginning. They stay in memory until the trial's rows are written anyway.
"""

from __future__ import annotations

import optuna

from search_spaces.values import Direction

# Chosen: 1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 63, ...: some twenty points of a thousand epochs.
_GROWTH = 1.5


def is_on_grid(epochs: int) -> bool:
    """Return whether a curve has a point after so many epochs.

    >>> [epochs for epochs in range(1, 64) if is_on_grid(epochs)]
    [1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 63]
    """
    point = 2
    while point < epochs:
        point = int(point * _GROWTH)
    return epochs in (1, point)


class Curves:
    """Curves of the running trials of a study.

    Args:
        memory: Optuna's storage in memory.
        direction: which way the score is better.
        rungs: numbers of epochs that have a point too.
    """

    def __init__(self, memory: optuna.storages.BaseStorage, direction: Direction, rungs: frozenset[int]) -> None:
        self._memory = memory
        self._choose = min if direction == "minimize" else max
        self._rungs = rungs
        self._last: dict[int, tuple[int, float]] = {}

    def add(self, trial: optuna.Trial, epochs: int, value: float) -> None:
        """Add the score of a trial's epoch, counted from 1."""
        before = self._last.get(trial.number)
        if before is not None and epochs <= before[0]:  # an attempt after a crash reports its epochs again
            return
        best = value if before is None else self._choose(before[1], value)
        self._last[trial.number] = epochs, best
        if epochs in self._rungs or is_on_grid(epochs):
            self.set_point(trial, epochs, best)

    def set_point(self, trial: optuna.Trial, epochs: int, best: float) -> None:
        """Set the best score until an epoch, unless the curve has that point."""
        # Not `Trial.report`: Optuna refuses it where a study has several objectives, whose first one this is.
        if epochs not in self._memory.get_trial(trial._trial_id).intermediate_values:
            self._memory.set_trial_intermediate_value(trial._trial_id, epochs, best)

    def finish(self, trial: optuna.Trial) -> None:
        """Add the last epoch of a trial whose rows are written next."""
        if (last := self._last.get(trial.number)) is not None:
            self.set_point(trial, *last)
