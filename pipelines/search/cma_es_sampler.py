"""Optuna's CMA-ES, for spaces whose ranges do not exist in all trials."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import CmaEsSampler
from optuna.trial import FrozenTrial


class RestartingCmaEs(CmaEsSampler):
    """CMA-ES that starts anew where the ranges that every trial has are others than before.

    Optuna's draws at random from then on. That happens where the first trials all have a range that a condition leaves
    out later.
    """

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values of the ranges."""
        self._ranges = len(search_space)
        return super().sample_relative(study, trial, search_space)

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        found = super()._restore_optimizer(completed_trials)
        return found if found is None or found.dim == self._ranges else None
