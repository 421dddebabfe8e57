"""Samplers by their names in a study file, as Optuna's interface has them."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import optuna
from optuna.exceptions import ExperimentalWarning

from pipelines.search.cma_es_sampler import RestartingCmaEs
from pipelines.search.earlier_trials import EarlierTrials
from pipelines.search.gp.sampler import GpSampler
from pipelines.search.gp.settings import GpSettings
from pipelines.search.gp.training_costs import TrainingCosts
from pipelines.search.nsga2_sampler import ResumableNsga2
from pipelines.search.seeds import mix_seed
from pipelines.search.sobol_sampler import SobolSampler
from pipelines.search.tpe_sampler import PruningTpe
from pipelines.search.untried_sampler import FirstValueSampler
from pipelines.spec.schema import SearchSpec
from search_spaces.distribution_values import list_grid
from search_spaces.errors import InputError, Problem
from search_spaces.space import Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

# Optuna's default for TPE; a Gaussian process learns from fewer, by the surrogate of tuning tasks.
_TPE_STARTUP, _GP_STARTUP = 10, 8


_PACKAGES: Final[Mapping[str, str]] = {"cma-es": "cmaes", "gp-optuna": "torch"}


def check_sampler(name: str) -> None:
    """Check that a sampler can be used here.

    Raises:
        InputError: if its package is not installed; names the extra that installs it.
    """
    package = _PACKAGES.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        message = f'the sampler "{name}" needs {package}, not installed here: pip install "kerastudy[{name}]"'
        raise InputError(Problem(message, "search.sampler"))


@dataclass(frozen=True)
class SamplerFactory:
    """Maker of a study's samplers, one for each trial.

    A sampler whose random numbers go on from trial to trial would draw others after a kill. So each trial has one of
    its own, seeded by the study's seed and the trial's number.

    Attributes:
        spec: names the sampler; `auto` is replaced before by `choose_sampler`.
        space: the declared part of the space.
        epochs: the most that a trial trains.
        earlier: trials of an earlier study, which a Gaussian process learns from.
        gp_trials: so many first trials are proposed by a Gaussian process, whatever sampler follows.
        costs: what trainings cost, where a Gaussian process is to weigh gains by it.
    """

    spec: SearchSpec
    space: Space
    epochs: int
    earlier: EarlierTrials = field(default_factory=EarlierTrials)
    gp_trials: int = 0
    costs: TrainingCosts | None = None

    def make(self, number: int, drawn: int = 0) -> BaseSampler:
        """Return the sampler for trial `number` from its parameter after `drawn` others."""
        name = "gp" if number < self.gp_trials else self.spec.sampler
        seed = mix_seed(self.spec.seed, number, drawn)
        samplers = optuna.samplers
        if name == "grid":
            return FirstValueSampler(list_grid)
        if name == "qmc":
            return SobolSampler(self.spec.seed, self.space)
        if name in ("gp", "auto"):
            return self._make_gp()
        if name == "tpe":
            return PruningTpe(seed=seed, n_startup_trials=self._get_startup(_TPE_STARTUP))
        if name == "nsga2":
            return ResumableNsga2(seed=seed)
        with warnings.catch_warnings():
            # Both may change in Optuna, which warns of that.
            warnings.simplefilter("ignore", ExperimentalWarning)
            # What they draw at random, `choose_sampler` states once; Optuna would warn of it with each trial.
            if name == "cma-es":
                startup = self._get_startup(1)
                return RestartingCmaEs(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
            if name == "gp-optuna":
                startup = self._get_startup(_TPE_STARTUP)
                return samplers.GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
        return self.make_random(number, drawn)

    def make_random(self, number: int, drawn: int = 0) -> BaseSampler:
        """Return a sampler of random values for trial `number`, as `make` does."""
        return optuna.samplers.RandomSampler(seed=mix_seed(self.spec.seed, number, drawn))

    def _make_gp(self) -> BaseSampler:
        return GpSampler(replace(self.make_gp_settings(), costs=self.costs))

    def make_gp_settings(self) -> GpSettings:
        """Return the settings of a Gaussian process for the study."""
        return GpSettings(self.spec.seed, self.space, self.epochs, self._get_startup(_GP_STARTUP), self.earlier)

    def _get_startup(self, default: int) -> int:
        return default if self.spec.startup_trials is None else self.spec.startup_trials
