"""Study whose paused trials are pruned ones, as a sampler reads it.

Optuna's samplers skip RUNNING trials, or count on their being nearly done. What a paused trial has reached is as good
to learn from as what a pruned one has.
"""

from __future__ import annotations

import copy
from collections.abc import Container

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipelines.search.trial_summaries import is_paused


class PausedAsPruned(optuna.Study):
    """View of a study.

    Args:
        study: the study; nothing in it is changed.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.__dict__.update(study.__dict__)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        # Every public and private reader of trials comes here; the cache holds them as they are.
        found = super()._get_trials(deepcopy=deepcopy)
        trials = (show_as_pruned(trial) if is_paused(trial) else trial for trial in found)
        return [trial for trial in trials if states is None or trial.state in states]


def show_as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """Return a copy of a trial that is pruned."""
    shown = copy.copy(trial)
    shown.state = TrialState.PRUNED
    return shown
