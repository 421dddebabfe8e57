"""SMAC3 by ask and tell: its facades for full trainings and for several budgets.

With several budgets a configuration goes on from its checkpoint, which is SMAC's best case: it leaves that to the
user's function.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from ConfigSpace import ConfigurationSpace, Float, Integer
from simulation import Searcher, Stretch
from smac import HyperparameterOptimizationFacade, MultiFidelityFacade, Scenario
from smac.runhistory import TrialValue
from surrogate import EPOCHS, SPACE

_MANY = 100_000


class SmacSearcher(Searcher):
    """SMAC3's optimization of hyperparameters; with `budgets` its Hyperband."""

    def __init__(self, seed: int, *, budgets: bool, trials: int = _MANY) -> None:
        warnings.filterwarnings("ignore")
        # Its first budget is 1 epoch or little more, which the surrogate spends on the untrained network.
        self.shift = int(budgets)
        self._epochs = EPOCHS - self.shift
        self._budgets = budgets
        self._folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            _make_space(seed),
            n_trials=trials,
            seed=seed,
            output_directory=Path(self._folder.name),
            deterministic=True,
            **({"min_budget": 1, "max_budget": self._epochs} if budgets else {}),
        )
        facade = MultiFidelityFacade if budgets else HyperparameterOptimizationFacade
        self._facade = facade(scenario, _refuse, overwrite=True, logging_level=logging.ERROR)
        self._trained: dict[object, int] = {}

    def start(self) -> Stretch:
        """Return SMAC's next configuration, from where it was trained before."""
        asked = self._facade.ask()
        last = round(asked.budget) if self._budgets else self._epochs
        first = self._trained.get(asked.config, 0)
        return Stretch(asked.config, dict(asked.config), min(first, last), last, asked)

    def proceed(self, done: Stretch, scores: Sequence[float]) -> None:
        """Record a configuration's result."""
        self._trained[done.trial] = max(self._trained.get(done.trial, 0), done.last)
        self._facade.tell(done.token, TrialValue(cost=-max(scores)), save=False)


def _make_space(seed: int) -> ConfigurationSpace:
    space = ConfigurationSpace(seed=seed)
    for name, declared in SPACE.items():
        kind = Integer if declared["type"] == "int" else Float
        space.add(kind(name, (declared["low"], declared["high"]), log=bool(declared.get("log"))))
    return space


def _refuse(config: object, seed: int = 0, budget: float = 0.0) -> float:
    raise NotImplementedError("trials are asked for and told")
