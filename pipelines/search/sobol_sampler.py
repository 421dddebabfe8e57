"""Optuna sampler that spreads the points of a study evenly over its space, by Sobol's sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from pipelines.search.gp.encoding import PointEncoding
from pipelines.search.gp.space_rules import SpaceRules
from pipelines.search.seeds import mix_seed
from pipelines.search.sobol_sequence import compute_sobol_point
from search_spaces.space import Space
from search_spaces.suggest import make_distributions


class SobolSampler(BaseSampler):
    """Points of Sobol's sequence, scrambled by the seed; the trial's number is the place in the sequence.

    Optuna's `QMCSampler` keeps its place in attributes of the study, which a killed supervisor would lose.

    Args:
        seed: of the study.
        space: the declared space; what a model's code requests besides is drawn at random.
    """

    def __init__(self, seed: int, space: Space) -> None:
        self._seed = seed
        self._distributions = {name: each for name, each in make_distributions(space).items() if not each.single()}
        self._space = space

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the declared parameters."""
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the point at the trial's place."""
        return draw_sobol_point(search_space, self._space, self._seed, trial.number) if search_space else {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value."""
        independent = RandomSampler(seed=mix_seed(self._seed, trial.number, len(trial.params)))
        return independent.sample_independent(study, trial, param_name, param_distribution)


def draw_sobol_point(
    distributions: Mapping[str, BaseDistribution], space: Space, seed: int, place: int
) -> dict[str, Any]:
    """Return the values of the parameters that exist at a place of the sequence."""
    encoding = PointEncoding(distributions)
    drawn = compute_sobol_point(len(distributions), seed, place)[np.newaxis]
    points = SpaceRules(space, encoding).restrict(encoding.snap(drawn))
    # A point that breaks a constraint is all NaN: the draws by parameter, and the rejection, then find another.
    return encoding.decode(points[0])
