"""Estimates of the improvement that a Gaussian process expected of its proposals, kept with the trials over kills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from pipelines.models.objectives import find_bounds
from pipelines.search.trial_summaries import TrialSummary
from pipelines.study.objective import Objective

_KEY: Final = "kerastudy:expected_improvement"


class ImprovementEstimates:
    """The estimates of a study, in the unit of its objective.

    Args:
        objective: the score; of several objectives a proposal improves a weighting, which has no unit.
        known: trials of the study, without those of another space.
    """

    def __init__(self, objective: Objective, known: Iterable[FrozenTrial]) -> None:
        self._objective = objective
        self._by_number = {trial.number: trial.user_attrs[_KEY] for trial in known if _KEY in trial.user_attrs}

    def add(self, trial: optuna.Trial, sampler: BaseSampler, trials: Iterable[TrialSummary]) -> None:
        """Store what a sampler expected of the trial that it has just proposed, where it expected something.

        Args:
            trial: the trial.
            sampler: what proposed it.
            trials: the study's so far.
        """
        # Of our own Gaussian process, which is imported where it is used alone.
        found = getattr(sampler, "expected_improvement", None)
        if found is None or self._objective.goals:
            return
        scores = [each.value for each in trials if each.value is not None]
        self._by_number[trial.number] = found = limit_improvement(found, self._objective, scores)
        trial.set_user_attr(_KEY, found)

    def list_last(self, count: int) -> Sequence[float]:
        """Return the estimates of the last proposals, the latest one last."""
        return [self._by_number[number] for number in sorted(self._by_number)[-count:]]


def limit_improvement(improvement: float, objective: Objective, scores: Sequence[float]) -> float:
    """Return an improvement no larger than what is left to the best value that the metric can have.

    >>> limit_improvement(0.25, Objective("val_accuracy", "maximize"), [0.5, 0.875])
    0.125
    """
    if not scores:
        return improvement
    least, most = find_bounds(objective.metric, scores)
    room = most - max(scores) if objective.direction == "maximize" else min(scores) - least
    return min(improvement, max(0.0, room))
