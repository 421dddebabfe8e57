"""Estimates of what a Gaussian process expects of the trials that it proposes, as a study keeps and limits them."""

from __future__ import annotations

import pytest
from small_studies import space_of

from pipelines.search.improvement_estimates import limit_improvement
from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import SearchSpec
from pipelines.study.objective import Goal, Objective
from search_spaces.hypermodel_request import HyperparameterRequest

RATE = space_of(rate={"type": "float", "low": 0.0, "high": 1.0})
REQUEST = HyperparameterRequest("rate", "float", 0.5, 0.0, 1.0)
LOSS = Objective("val_loss", "minimize")


def play(storage, objective=LOSS, space=RATE, trials=5, **settings):
    """Search a rate; the score is best where it is 0.3."""
    spec = SearchSpec(sampler="gp", pruner="none", startup_trials=2)
    search = OptunaSearch(storage, "it", SearchSettings(space, objective, spec, 3, **settings))
    for _ in range(trials):
        number, values = search.ask()
        rate = values.get("rate") or search.suggest_value(number, REQUEST)
        score = abs(rate - 0.3) if objective.direction == "minimize" else 1 - abs(rate - 0.3)
        goals = (rate,) if objective.goals else ()
        search.tell(TrialSummary(number, "complete", score, {"rate": rate}, goals=goals))
    return search


@pytest.mark.parametrize("requests", [False, True])
def test_estimates_are_kept_with_the_trials(storage, requests):
    """Also where the model's code requests the values; a search that is opened again has them."""
    settings = {"space": space_of(epochs=3), "draws_on_request": True} if requests else {}
    estimates = play(storage, **settings).improvements
    assert len(estimates) == 3
    assert play(storage, trials=0, **settings).improvements == estimates


def test_a_weighting_of_several_objectives_has_no_unit(storage):
    goals = (Goal("val_loss", "minimize"), Goal("parameters", "minimize"))
    assert play(storage, Objective("val_loss", "minimize", goals)).improvements == []


def test_a_share_of_rows_can_gain_no_more_than_it_lacks(storage):
    assert max(play(storage, Objective("val_accuracy", "maximize")).improvements) < 0.3


@pytest.mark.parametrize(
    ("metric", "direction", "scores", "limited"),
    [
        ("val_accuracy", "maximize", [0.75, 0.5], 0.25),
        ("val_accuracy", "maximize", [1.0], 0.0),
        ("val_accuracy", "maximize", [75.0], 9.0),
        ("gain", "maximize", [1.0], 9.0),
        ("val_mean_absolute_error", "minimize", [0.5, 0.75], 0.5),
        ("val_loss", "minimize", [0.5], 9.0),
    ],
)
def test_an_estimate_goes_no_further_than_the_metric(metric, direction, scores, limited):
    """Where its name shows how good it can be: a loss of a user model's may be below 0."""
    assert limit_improvement(9.0, Objective(metric, direction), scores) == limited
