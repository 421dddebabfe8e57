"""Costs of trainings, as a Gaussian process weighs them."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest

from pipelines.search.earlier_trials import EarlierTrials
from pipelines.search.gp.encoding import PointEncoding
from pipelines.search.gp.sampler import GpSampler
from pipelines.search.gp.settings import GpSettings
from pipelines.search.gp.training_costs import TrainingCosts
from search_spaces.parse import parse_space_dict
from search_spaces.suggest import make_distributions, suggest

SPACE = parse_space_dict(
    {
        "units": {"type": "int", "low": 16, "high": 256, "log": True},
        "depth": {"type": "int", "low": 1, "high": 4},
        "batch_size": [32, 64, 128],
        "activation": ["relu", "tanh"],
        "rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True, "when": {"activation": "relu"}},
    }
)


def estimate(values):
    """Return seconds that grow with the network, and fall with the batch."""
    return (1e-3 + 1e-6 * values["depth"] * values["units"] ** 1.5) * 1000 / values["batch_size"]


def draw(space, count):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=7))
    trials = [(trial := study.ask(), suggest(space, trial)) for _ in range(count)]
    encoding = PointEncoding(make_distributions(space))
    rows = np.array([encoding.encode(trial.params, trial.distributions) for trial, _ in trials])
    return encoding, rows, [values for _, values in trials]


def test_costs_rank_points_as_the_estimate_does():
    """Points that the sample did not hold have their logarithm to a tenth, but for a constant; also with conditions."""
    encoding, rows, values = draw(SPACE, 100)
    found = TrainingCosts(SPACE, estimate).predict(encoding, rows)
    expected = np.log([estimate(each) for each in values])
    off = found - expected
    assert np.abs(off - off.mean()).max() < 0.1 * np.ptp(expected)
    assert np.corrcoef(found, expected)[0, 1] > 0.99


def test_costs_are_the_same_in_each_run():
    """Two models of one space agree to the last bit, so a study that was killed weighs as before."""
    encoding, rows, _ = draw(SPACE, 20)
    first, second = (TrainingCosts(SPACE, estimate).predict(encoding, rows) for _ in range(2))
    assert (first == second).all()


def test_rare_points_have_costs():
    """Where next to no drawn point keeps the constraints, the others show what a training costs."""
    numbers = {"type": "float", "low": 0.0, "high": 1.0}
    space = parse_space_dict({"x": numbers, "y": numbers, "constraints": ["x + y > 1.99"]})
    encoding = PointEncoding(make_distributions(space))
    found = TrainingCosts(space, lambda values: math.exp(4 * values["x"])).predict(
        encoding, np.array([[0.2, 1], [1, 1]])
    )
    assert found[1] - found[0] == pytest.approx(3.2, abs=0.2)


@pytest.mark.parametrize("weighs", [False, True])
def test_what_promises_as_much_for_less_is_proposed(weighs):
    """Of points that promise the same, the cheap ones are proposed more often than chance has it."""
    space = parse_space_dict(
        {"x": {"type": "float", "low": 0.0, "high": 1.0}, "size": {"type": "float", "low": 0.0, "high": 1.0}}
    )
    costs = TrainingCosts(space, lambda values: math.exp(4 * values["size"])) if weighs else None
    settings = GpSettings(0, space, 1, 4, EarlierTrials(), costs)
    study = optuna.create_study(direction="maximize")
    proposed = []
    for _ in range(20):
        study.sampler = GpSampler(settings)
        trial = study.ask(make_distributions(space))
        study.tell(trial, -((trial.params["x"] - 0.3) ** 2))  # the size makes no difference
        proposed.append(trial.params["size"])
    assert bool(np.mean(proposed[4:]) < 0.2) is weighs
