"""Settings of a search by a Gaussian process, and what it needs before there is a score to learn from.

Nothing here imports SciPy, which takes a third of a second: no first trial waits for it.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from pipelines.search.earlier_trials import EarlierTrials
from pipelines.search.gp.training_costs import TrainingCosts
from search_spaces.space import Space
from search_spaces.suggest import make_distributions


@dataclass(frozen=True)
class GpSettings:
    """Settings of a search by a Gaussian process.

    Attributes:
        seed: of the study.
        space: the declared part of the space.
        epochs: the most that a trial trains.
        startup_trials: trials with a score before the model proposes points.
        earlier: trials of an earlier study, which inform the model too.
        costs: what trainings cost, where proposals weigh improvement by it.
    """

    seed: int
    space: Space
    epochs: int
    startup_trials: int
    earlier: EarlierTrials = field(default_factory=EarlierTrials)
    costs: TrainingCosts | None = None


def find_distributions(space: Space, trials: Iterable[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Return every parameter that a space declares or a trial has had, without those of a single value."""
    found = make_distributions(space)
    for trial in trials:
        for name, distribution in trial.distributions.items():
            found.setdefault(name, distribution)
    return {name: each for name, each in found.items() if not each.single()}


def has_scores(trials: Iterable[FrozenTrial]) -> bool:
    """Return whether a trial has any score: without one there is nothing to learn."""
    return any(trial.state == TrialState.COMPLETE or trial.intermediate_values for trial in trials)


@cache
def load_model() -> None:
    """Import the model in a thread, once in a process, so that the first proposal need not wait for it."""
    threading.Thread(target=importlib.import_module, args=("pipelines.search.gp.model",), daemon=True).start()
