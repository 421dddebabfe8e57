"""Number of combinations in a study's space, and what follows from it for its trials."""

from __future__ import annotations

import pytest
from small_studies import study_of

from pipelines.study.combinations import count_combinations
from search_spaces.hypermodel_request import HyperparameterRequest

UNITS = HyperparameterRequest("units", "int", 4, low=4, high=8)
DEEP_UNITS = HyperparameterRequest("units", "int", 16, low=16, high=32, step=16)
ACTIVATION = HyperparameterRequest("act", "choice", "relu", choices=("relu", "tanh"))
RATE = HyperparameterRequest("rate", "float", 0.01, low=1e-4, high=1.0, sampling="log")


def describe(space, requests=(), *, model="mlp", trials=10, search="{}"):
    study = study_of(
        f"study: it\ndata: {{source: d.csv, target: y}}\nmodel: {model}\nspace: {space}\n"
        f"search: {search}\nbudget: {{trials: {trials}}}\n"
    )
    found = count_combinations(study, requests)
    return list(found.describe(study)), found.limit_trials(trials)


@pytest.mark.parametrize(
    ("space", "lines", "trials"),
    [
        (
            "{units: [4, 8], activation: [relu, tanh], epochs: 2}",
            ["the space has 4 combinations: the search ends when each was tried"],
            4,
        ),
        ("{units: {type: int, low: 1, high: 64}, epochs: 2}", ["the space has 64 combinations"], 10),
        ("{learning_rate: {type: float, low: 0.1, high: 0.2}}", [], 10),
        ("{units: {type: int, low: 1, high: 100000}}", [], 10),
        ("{units: 8, epochs: 2}", ["nothing is searched: 10 trials differ by their seeds alone"], 10),
        (
            "{optimizer: [sgd, adam], momentum: {type: float, low: 0.1, high: 0.9, step: 0.4, when: {optimizer: sgd}}, "
            'constraints: ["momentum < 0.8"]}',
            ["the space has 3 combinations: the search ends when each was tried"],
            3,
        ),
    ],
)
def test_spaces_of_a_family(space, lines, trials):
    """Conditions, constraints and fixed values count; a space with a real number, or a vast one, is not counted."""
    assert describe(space) == (lines, trials)


@pytest.mark.parametrize(
    ("points", "search", "trials"),
    [
        ("[{units: 8}, {units: 8}, {units: 4}]", "{}", 4),
        ("[{units: 8}]", "{}", 3),
        ("[{units: 8}, {units: 4}]", "{sampler: grid}", 3),
        ("[{units: 8}, {units: 8}]", "{sampler: grid}", 4),
        ("[{units: 8}, {units: 8}, {units: 4}]", "{repeat: never}", 3),
        ("[{units: 8}, {units: 8}]", "{sampler: grid, repeat: never}", 3),
    ],
)
def test_points_of_the_file_that_are_listed_again_are_further_trials(points, search, trials):
    """A search of three combinations has more trials then, by which pruners and progress go."""
    assert describe(f"{{units: [4, 8, 16], start_from: {points}}}", search=search)[1] == trials


def test_a_point_off_the_grid_is_a_further_trial():
    space = "{units: {type: int, low: 1, high: 101}, start_from: [{units: 7}, {units: 26}]}"
    assert describe(space, search="{sampler: grid}")[1] == 6


def test_a_point_that_leaves_values_open_is_on_the_grid():
    space = "{units: [4, 8], activation: [relu, tanh], start_from: [{units: 8}]}"
    assert describe(space, search="{sampler: grid}")[1] == 4


def test_a_space_without_a_point_is_none():
    """It is known where all points can be listed."""
    lines, trials = describe('{units: [4, 8], constraints: ["units > 8"]}')
    assert (lines, trials) == (["no combination of the space keeps its constraints"], 10)


def test_grids_state_their_cuts():
    """Ranges that a grid cuts are named with the values that are left, and so is the budget that cuts the grid."""
    space = "{learning_rate: {type: float, low: 1e-4, high: 1.0, log: true}, units: {type: int, low: 4, high: 400}}"
    lines, trials = describe(space, search="{sampler: grid}")
    assert lines == [
        "the grid has 25 combinations: the first 10 are tried (budget.trials)",
        "the grid cuts learning_rate into 0.0001, 0.001, 0.01, 0.1, 1; give it a step or a list for other values",
        "the grid cuts units into 4, 103, 202, 301, 400; give it a step or a list for other values",
    ]
    assert trials == 10


@pytest.mark.parametrize(
    ("space", "requests", "search", "lines"),
    [
        (
            "{epochs: 2}",
            (UNITS, ACTIVATION),
            "{}",
            ["the space has about 10 combinations, by what the check saw"],
        ),
        (
            "{act: [relu]}",
            (UNITS, DEEP_UNITS, ACTIVATION),
            "{}",
            ["the space has about 7 combinations, by what the check saw: the search ends when each was tried"],
        ),
        ("{}", (UNITS, RATE), "{}", []),
        (
            "{}",
            (UNITS, RATE),
            "{undeclared: fix}",
            ["nothing is searched: 10 trials differ by their seeds alone"],
        ),
        (
            "{}",
            (ACTIVATION, RATE),
            "{sampler: grid}",
            [
                "the grid has about 10 combinations, by what the check saw",
                "the grid cuts rate into 0.0001, 0.001, 0.01, 0.1, 1; give it a step or a list for other values",
            ],
        ),
    ],
)
def test_spaces_of_user_models(space, requests, search, lines):
    """What the code requests counts too; as conditions of the code are unknown, there may be fewer combinations."""
    assert describe(space, requests, model="model.py:build", search=search) == (lines, 10)
