"""A trial of a Pareto front is chosen by bounds; tests/pipelines/study/test_objective.py has the front of a study."""

from __future__ import annotations

import math

import keras_tuner
import pytest
from pydantic import TypeAdapter

from pipelines.queries.views import BestTrial, ObjectiveName, TrialRow, find_pareto_trial
from search_spaces.errors import ConflictError, InputError


def trial(number, *values):
    return TrialRow(number, "complete", values, {}, 1, 1.0, "", {})


@pytest.fixture
def best():
    """Three trials, the best by the first objective first."""
    front = (trial(7, 0.1, 3.0), trial(2, 0.2, 2.0), trial(5, 0.3, 1.0))
    names = (ObjectiveName("val_loss", "minimize"), ObjectiveName("size_mb", "minimize"))
    return BestTrial("s", front[0], "val_loss", "minimize", {}, "", objectives=names, pareto_front=front)


@pytest.mark.parametrize(
    ("at_most", "at_least", "number"),
    [({}, {}, 7), ({"size_mb": 2.0}, {}, 2), ({"size_mb": 2.5}, {"val_loss": 0.25}, 5)],
)
def test_the_first_trial_within_the_bounds_is_chosen(best, at_most, at_least, number):
    """A bound itself is allowed."""
    assert find_pareto_trial(best, at_most, at_least) == number


def test_a_score_that_is_not_finite_is_null_in_an_answer():
    """A service writes null for it, and a client reads NaN."""
    reader = TypeAdapter(TrialRow)
    row = TrialRow(7, "complete", (0.1,), {}, 1, 1.0, "", {"val_loss": 0.1, "val_big": float("inf")})
    written = reader.dump_json(row)
    assert b'"val_big":null' in written
    assert math.isnan(reader.validate_json(written).metrics["val_big"])


def test_bounds_that_cannot_be_kept_are_errors(best):
    """So are bounds on an objective that the study lacks."""
    with pytest.raises(ConflictError, match="no trial of the Pareto front of s"):
        find_pareto_trial(best, {"size_mb": 0.5}, {})
    with pytest.raises(InputError, match='no objective "size"; did you mean "size_mb"'):
        find_pareto_trial(best, {"size": 1.0}, {})


def test_hyperparameters_rebuild_a_trial_s_model():
    """A trial's values are there as KerasTuner's hyperparameters, for the `build` of its hypermodel."""
    hp = TrialRow(7, "complete", (0.1,), {"units": 6, "act": "tanh"}, 1, 1.0, "", {}).hyperparameters
    assert isinstance(hp, keras_tuner.HyperParameters)
    assert (hp.get("act"), hp.Int("units", 4, 8), hp.values) == ("tanh", 6, {"units": 6, "act": "tanh"})
