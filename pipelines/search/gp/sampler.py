"""Optuna sampler that proposes points by a Gaussian process over points and learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from pipelines.search.gp.encoding import PointEncoding
from pipelines.search.gp.settings import GpSettings, find_distributions, has_scores
from pipelines.search.seeds import mix_seed
from pipelines.search.sobol_sampler import draw_sobol_point


class GpSampler(BaseSampler):
    """Proposals by expected improvement under a Gaussian process over (point, logarithm of the epochs).

    Scores of all numbers of epochs are observations, so trials that were pruned or paused inform it too. Points are
    chosen by their expected score after the last epoch. Trials at work are believed to end at the mean of the model.

    Of several objectives each proposal improves one weighting of them: Knowles, ParEGO (2006), equation 2. Bounds on
    objectives are constraints: the improvement counts with the probability that they are kept.

    Attributes:
        expected_improvement: that of the last proposal, in the unit of the objective (of several: of their weighting);
            None before there is one.

    A proposal depends on the seed, the trial's number and the trials before it alone, so a study that was killed goes
    on as it would have.
    """

    def __init__(self, settings: GpSettings) -> None:
        self._settings = settings
        self.expected_improvement: float | None = None
        self._independent = RandomSampler(seed=settings.seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return every parameter that the space declares or a trial has had."""
        return find_distributions(self._settings.space, study.get_trials(deepcopy=False))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the proposed value of each parameter that exists at the proposed point."""
        if not search_space:
            return {}
        encoding = PointEncoding(search_space)
        others = [each for each in study.get_trials(deepcopy=False) if each.number != trial.number]
        if has_scores(others):
            # Lazily, as SciPy's modules take a third of a second to import.
            from pipelines.search.gp.model import learn_points, limit_threads

            with limit_threads():
                model = learn_points(self._settings, encoding, study.directions, others, trial.number)
                if model is not None:
                    row, improvement = model.propose()
                    if model.has_best:
                        self.expected_improvement = model.unit * math.exp(improvement)
                    return encoding.decode(row)
        return draw_sobol_point(search_space, self._settings.space, self._settings.seed, trial.number)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value of a parameter that no trial has had before."""
        # The state of a random generator would not survive a kill.
        self._independent = RandomSampler(seed=mix_seed(self._settings.seed, trial.number, len(trial.params)))
        return self._independent.sample_independent(study, trial, param_name, param_distribution)
