"""Pruners as a study file configures them, and the rungs at which they compare trials."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import optuna

from pipelines.spec.schema import SearchSpec

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

# Chosen: each rung costs a worker a request.
_RUNGS_PER_TRIAL = 10
# Hyperband's eta; Optuna's default too.
_REDUCTION = 3


def make_pruner(spec: SearchSpec, epochs: int) -> BasePruner:
    """Return the pruner of trials of at most `epochs` epochs."""
    if spec.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(epochs, 2), reduction_factor=_REDUCTION)
    if spec.pruner == "median":
        return optuna.pruners.MedianPruner(
            # Chosen: no comparison in the first fifth of the epochs, where curves still cross.
            n_startup_trials=max(1, spec.startup_trials // 2),
            n_warmup_steps=epochs // 5,
        )
    return optuna.pruners.NopPruner()


def compute_rungs(pruner: str, epochs: int) -> frozenset[int]:
    """Return the epochs, counted from 0, after which a trial is compared with the others.

    Hyperband compares after 1, 3, 9, ... epochs; the median pruner after each tenth of the epochs.
    """
    if pruner == "none":
        return frozenset()
    if pruner == "hyperband":
        powers = itertools.takewhile(lambda rung: rung <= epochs, (_REDUCTION**power for power in itertools.count()))
        return frozenset(rung - 1 for rung in powers)
    every = max(1, math.ceil(epochs / _RUNGS_PER_TRIAL))
    return frozenset(range(every - 1, epochs, every))
