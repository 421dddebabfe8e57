"""Rule of promotion by a model: a paused trial goes on where it promises more than a new one.

Freeze-thaw Bayesian optimization: Swersky, Snoek and Adams (2014). Their model of curves is another one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pipelines.search.gp.encoding import PointEncoding
from pipelines.search.gp.settings import GpSettings, find_distributions
from pipelines.search.paused_view import show_as_pruned
from pipelines.search.trial_summaries import is_paused
from search_spaces.values import Direction

if TYPE_CHECKING:
    # Imported where it is used: SciPy's modules take a third of a second to import, before a study's first trial.
    from pipelines.search.gp.model import PointModel

# How much more a new trial must promise, as a logarithm; chosen by the surrogate of tuning tasks, where 0 and 2 are
# worse.
_BONUS = 1.0
# Chosen: improvements of a hundredth of the scores' spread are worth no further epoch.
_LEAST_IMPROVEMENT = math.log(0.01)


class FreezeThawRule:
    """Promotion of the trial whose expected improvement by its last epoch is greatest; see `PromotionRule`.

    Args:
        settings: of the Gaussian process.
        direction: which way the score is better.
    """

    def __init__(self, settings: GpSettings, direction: Direction) -> None:
        self._settings = settings
        self._directions = [StudyDirection.MINIMIZE if direction == "minimize" else StudyDirection.MAXIMIZE]

    def goes_on(self, number: int, epochs: int, trials: Sequence[FrozenTrial]) -> bool:
        """Return whether a trial that has reached a rung promises more than all that are paused, and a new one."""
        paused = [number, *(trial.number for trial in trials if is_paused(trial))]
        return self._choose(paused, trials) == number

    def choose(self, paused: Mapping[int, int], trials: Sequence[FrozenTrial]) -> int | None:
        """Return the paused trial that promises most; None where a new one promises more."""
        return self._choose(paused, trials)

    def choose_last(self, paused: Mapping[int, int], trials: Sequence[FrozenTrial]) -> int | None:
        """Return the paused trial that promises most, while it promises anything or no trial is complete."""
        from pipelines.search.gp.model import limit_threads

        with limit_threads():
            if (learned := self._learn(paused, trials)) is None:
                return max(paused, key=lambda number: (paused[number], -number), default=None)
            number, improvement = _find_most_promising(*learned, paused, trials)
        is_needed = all(trial.state != TrialState.COMPLETE for trial in trials)
        return number if is_needed or improvement > _LEAST_IMPROVEMENT else None

    def find_hopeless(self, paused: Mapping[int, int], trials: Sequence[FrozenTrial], most: int) -> list[int]:
        """Return nothing: what others reach may make any trial promising again."""
        return []

    def _choose(self, paused: Iterable[int], trials: Sequence[FrozenTrial]) -> int | None:
        from pipelines.search.gp.model import limit_threads

        with limit_threads():
            if (learned := self._learn(paused, trials)) is None:
                return None
            number, improvement = _find_most_promising(*learned, paused, trials)
            _, of_new = learned[0].propose()
            return number if improvement >= of_new - _BONUS else None

    def _learn(self, paused: Iterable[int], trials: Sequence[FrozenTrial]) -> tuple[PointModel, PointEncoding] | None:
        from pipelines.search.gp.model import learn_points

        numbers = set(paused)
        shown = [show_as_pruned(trial) if trial.number in numbers else trial for trial in trials]
        distributions = find_distributions(self._settings.space, trials)
        if not numbers or not distributions:
            return None
        encoding = PointEncoding(distributions)
        # The number of the next trial: its proposal is the one that is compared here.
        model = learn_points(self._settings, encoding, self._directions, shown, len(trials))
        return None if model is None else (model, encoding)


def _find_most_promising(
    model: PointModel, encoding: PointEncoding, paused: Iterable[int], trials: Sequence[FrozenTrial]
) -> tuple[int, float]:
    """Return the number of the paused trial with the most expected improvement, and its logarithm."""
    numbers = set(paused)
    candidates = [trial for trial in trials if trial.number in numbers]
    rows = np.array([encoding.encode(trial.params, trial.distributions) for trial in candidates])
    improvements = model.rate(rows)
    best = int(improvements.argmax())
    return candidates[best].number, float(improvements[best])
