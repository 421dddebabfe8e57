"""Optuna's TPE, for studies of several objectives that prune."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState


class PruningTpe(TPESampler):
    """TPE that learns of several objectives from complete trials alone.

    A pruned trial has a score of the first objective and none of the others; Optuna's TPE ends with an error there.
    """

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what TPE draws together."""
        return super().sample_relative(_hide_pruned(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return TPE's value."""
        return super().sample_independent(_hide_pruned(study), trial, param_name, param_distribution)


class _WithoutPruned(optuna.Study):
    """View of a study."""

    def __init__(self, study: optuna.Study) -> None:
        self.__dict__.update(study.__dict__)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        found = super()._get_trials(deepcopy=deepcopy, states=states, use_cache=use_cache)
        return [trial for trial in found if trial.state != TrialState.PRUNED]


def _hide_pruned(study: optuna.Study) -> optuna.Study:
    return _WithoutPruned(study) if len(study.directions) > 1 else study
