"""Model of a study's scores: what it proposes where objectives have bounds."""

from __future__ import annotations

import math

import optuna
import pytest

from pipelines.search.gp.model import GpSettings
from pipelines.search.gp.sampler import GpSampler
from search_spaces.parse import parse_space_dict
from search_spaces.suggest import make_distributions

SPACE = parse_space_dict({name: {"type": "float", "low": 0.0, "high": 1.0} for name in "abc"})


def search(bound, trials, seed):
    """Return a study of a score that grows with a size, which has a bound."""
    study = optuna.create_study(direction="maximize")
    for _ in range(trials):
        study.sampler = GpSampler(GpSettings(seed, SPACE, 1, 8))
        trial = study.ask(make_distributions(SPACE))
        size = trial.params["a"] + trial.params["b"]
        trial.set_constraint("size", size - bound)
        study.tell(trial, math.tanh(2 * size) - 0.3 * (trial.params["c"] - 0.3) ** 2)
    return study


@pytest.mark.parametrize("seed", [0, 1])
def test_trials_that_break_a_bound_are_not_what_is_improved_on(seed):
    """The best scores break it; at the bound the best that keeps it is tanh(0.3) = 0.291."""
    study = search(0.15, 26, seed)
    kept = [trial.value for trial in study.trials if trial.constraints["size"] <= 0]
    assert max(kept) > 0.285
    assert len(kept) >= 10


def test_while_no_trial_keeps_the_bounds_nothing_is_expected_to_improve():
    """So no estimate ends the search by budget.improvement; the proposals go where the bounds are most likely kept."""
    assert search(-1.0, 12, 0).sampler.expected_improvement is None
    assert search(0.05, 10, 0).trials[8].constraints["size"] <= 0
