"""Optuna's NSGA-II, whose parents do not depend on whether the study was stopped in between."""

from __future__ import annotations

from optuna import Study
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial


class ResumableNsga2(NSGAIISampler):
    """NSGA-II whose parents follow from the trials alone.

    Optuna chooses the parents of a generation when that begins, and keeps them in attributes of the study, which a
    killed supervisor loses. It draws from them in the order in which they were chosen at first, and later in the order
    of their numbers.
    """

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Return the parents of a generation in the order of their numbers."""
        return sorted(super().select_parent(study, generation), key=lambda trial: trial.number)

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Return the complete trials of a generation, without those that ended after the next one had begun."""
        key, trials = self._get_generation_key(), study.get_trials(deepcopy=False)
        starts = [each.datetime_start for each in trials if each.system_attrs.get(key) == generation + 1]
        began = min((each for each in starts if each is not None), default=None)
        population = super().get_population(study, generation)
        if began is None:
            return population
        return [each for each in population if each.datetime_complete is None or each.datetime_complete <= began]
