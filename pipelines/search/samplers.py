"""Optuna's samplers as a study file configures them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import optuna

from pipelines.search.untried_sampler import FirstValueSampler
from pipelines.spec.schema import SearchSpec
from search_spaces.distribution_values import list_grid

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


def make_sampler(spec: SearchSpec, known: int) -> BaseSampler:
    """Return the sampler of a study that has `known` trials already."""
    # A resumed study must not draw the same points again, so the seed moves on with the trials.
    # A large prime keeps the seeds of two studies apart; NumPy's seeds have 32 bits.
    seed = (spec.seed * 1_000_003 + known) % 2**32
    if spec.sampler == "grid":
        return FirstValueSampler(list_grid)
    if spec.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=spec.startup_trials)
    return optuna.samplers.RandomSampler(seed=seed)
