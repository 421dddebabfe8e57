"""Optuna samplers that draw no point of a finite space twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from pipelines.search.paused_view import PausedAsPruned
from pipelines.search.tried_points import TriedPoints


class UntriedSampler(BaseSampler):
    """A sampler's draws, where they lead to a point that no trial has; other values where they do not.

    Args:
        sampler: makes the proposals.
        tried: the points of the study's trials.

    Attributes:
        sampler: may be replaced between trials.
    """

    def __init__(self, sampler: BaseSampler, tried: TriedPoints) -> None:
        self.sampler = sampler
        self._tried = tried
        self._proposals: dict[int, dict[str, Any]] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: Optuna would take what is drawn together without looking."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a value that leads to a point that no trial has, if there is one."""
        view = PausedAsPruned(study)
        # Drawn together when the first of them is needed: points that wait in Optuna's queue need none.
        if trial.number not in self._proposals:
            space = self.sampler.infer_relative_search_space(view, trial)
            self._proposals[trial.number] = dict(self.sampler.sample_relative(view, trial, space))
        drawn_together = self._proposals[trial.number]

        def propose() -> Any:
            if param_name in drawn_together:
                value = drawn_together.pop(param_name)
                if param_distribution._contains(param_distribution.to_internal_repr(value)):
                    return value
            return self.sampler.sample_independent(view, trial, param_name, param_distribution)

        return self._tried.choose(trial, param_name, param_distribution, propose)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Pass on that a trial starts."""
        self.sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Pass on that a trial ended."""
        self._proposals.pop(trial.number, None)
        self.sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Pass on that the random numbers start anew."""
        self.sampler.reseed_rng()


class FirstValueSampler(BaseSampler):
    """Sampler that always proposes the first value, so that an `UntriedSampler` walks through all points in order.

    Args:
        list_values: the values of a parameter by its name and distribution.
    """

    def __init__(self, list_values: Callable[[str, BaseDistribution], Sequence[Any] | None]) -> None:
        self._list_values = list_values

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: each parameter is drawn by itself."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the first value."""
        values = self._list_values(param_name, param_distribution)
        if values is None:
            raise ValueError(f"{param_name} has no first value")
        return values[0]
