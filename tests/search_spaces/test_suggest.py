"""Values from Optuna's trials, the grid, and the extremes of a space."""

from __future__ import annotations

import itertools

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.parse import parse_space_dict
from search_spaces.suggest import (
    ConstraintViolation,
    find_largest,
    find_most,
    find_smallest,
    generate_grid,
    make_distributions,
    make_optuna_point,
    suggest,
)

SPACE = parse_space_dict(
    {
        "optimizer": ["sgd", "adam"],
        "momentum": {"type": "float", "low": 0, "high": 0.9, "step": 0.1, "when": {"optimizer": "sgd"}},
        "depth": {"type": "int", "low": 1, "high": 3},
        "units": {"type": "int", "low": 8, "high": 64, "log": True, "step": 2, "repeat": "depth"},
        "rate": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
        "null_or_not": [None, True, 1.5],
        "epochs": 5,
    }
)


@pytest.fixture
def study():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


def test_only_active_values_are_drawn(study):
    """A trial holds active parameters alone, in Optuna too; fixed ones are given but unknown to Optuna."""
    for _ in range(20):
        trial = study.ask()
        values = suggest(SPACE, trial)
        assert tuple(values) == SPACE.find_active(values)
        assert values["epochs"] == 5
        in_optuna = {name.removesuffix("#idx") for name in trial.params}
        assert in_optuna == values.keys() - {"epochs"}


def test_the_same_trial_gives_the_same_values(study):
    """Asking twice draws once; a trial that Optuna has stored gives its values again."""
    trial = study.ask()
    values = suggest(SPACE, trial)
    assert suggest(SPACE, trial) == values
    study.tell(trial, 0.0)
    assert suggest(SPACE, study.trials[0]) == values


def test_a_logarithmic_step_is_an_index_in_optuna(study):
    """Optuna refuses log with a step, so it draws the number of steps."""
    trial = study.ask()
    values = suggest(SPACE, trial)
    assert values["units_1"] == 8 * 2 ** trial.params["units_1#idx"]


@pytest.mark.parametrize("low", [0.0, 128.0, -1e6, 3e9])
@pytest.mark.parametrize("step", ["0.000001", "0.0001", "0.01", "1"])
def test_every_step_comes_back_from_optuna(study, low, step):
    """However fine its steps and however large its numbers, each value of a range is one that Optuna takes back."""
    space = parse_space_dict(
        {"x": {"type": "float", "low": low, "high": low + 2000 * float(step), "step": float(step)}}
    )
    parameter = space.parameters["x"]
    for index in range(0, 2001, 77):
        study.enqueue_trial(make_optuna_point(space, {"x": parameter.get_value(index)}))
        assert suggest(space, study.ask()) == {"x": parameter.get_value(index)}


def test_steps_are_clean_numbers(study):
    """A drawn 0.30000000000000004 is given as the 0.3 that the space has."""
    drawn = set()
    for _ in range(60):
        drawn.add(suggest(SPACE, study.ask()).get("momentum"))
    assert drawn <= {None, *(round(step * 0.1, 1) for step in range(10))}
    assert 0.3 in drawn


def test_known_points_are_tried(study):
    """A point of the space, given to Optuna, becomes the values of the next trial."""
    point = {"optimizer": "sgd", "momentum": 0.3, "depth": 2, "units_1": 64, "units_2": 16, "rate": 0.1}
    point = {**point, "null_or_not": None, "epochs": 5}
    study.enqueue_trial(make_optuna_point(SPACE, point))
    assert suggest(SPACE, study.ask()) == point


def test_a_whole_number_is_known_to_a_float(study):
    """A float's point may be written as a whole number."""
    space = parse_space_dict({"a": {"type": "float", "low": 0, "high": 5}})
    study.enqueue_trial(make_optuna_point(space, {"a": 3}))
    values = suggest(space, study.ask())
    assert values == {"a": 3.0}
    assert isinstance(values["a"], float)


def test_a_known_choice_has_the_type_that_the_space_gives_it(study):
    """64.0 is the choice 64, and no other value."""
    space = parse_space_dict({"units": [32, 64], "on": [True, False]})
    study.enqueue_trial(make_optuna_point(space, {"units": 64.0, "on": True}))
    values = suggest(space, study.ask())
    assert [type(value) for value in values.values()] == [int, bool]


def test_a_range_of_two_neighbours(study):
    """Its values are Python's, and a grid has both of them once."""
    space = parse_space_dict({"a": {"type": "float", "low": 1.0, "high": 1.0000000000000002}})
    assert [type(suggest(space, study.ask())["a"]) for _ in range(3)] == [float] * 3
    assert [point["a"] for point in generate_grid(space)] == [1.0, 1.0000000000000002]


def test_broken_constraints_reject_the_point(study):
    """A point that breaks a constraint is raised with its values and what it breaks."""
    space = parse_space_dict({"a": {"type": "int", "low": 1, "high": 9}, "constraints": ["a > 9 - 1"]})
    study.enqueue_trial({"a": 3})
    with pytest.raises(ConstraintViolation, match="a > 9 - 1") as caught:
        suggest(space, study.ask())
    assert caught.value.values == {"a": 3}
    assert caught.value.constraints == ("a > 9 - 1",)


def test_distributions_are_optunas():
    """Every searched parameter has its distribution; a high that no step reaches is lowered to the last step."""
    space = parse_space_dict(
        {
            "a": {"type": "float", "low": 0, "high": 1, "step": 0.3},
            "b": {"type": "int", "low": 1, "high": 10, "step": 4},
            "c": {"type": "int", "low": 1, "high": 10, "log": True},
            "d": {"type": "float", "low": 1e-3, "high": 1, "log": True, "step": 10},
            "e": ["x", None],
            "f": 1,
        }
    )
    assert make_distributions(space) == {
        "a": FloatDistribution(0, 0.9, step=0.3),
        "b": IntDistribution(1, 9, step=4),
        "c": IntDistribution(1, 10, log=True),
        "d#idx": IntDistribution(0, 3),
        "e": CategoricalDistribution(("x", None)),
    }


def test_the_grid_has_each_combination_once():
    """Inactive parameters make no copies of a combination, and constraints take combinations away."""
    space = parse_space_dict(
        {
            "optimizer": ["sgd", "adam"],
            "momentum": {"type": "float", "low": 0, "high": 1, "when": {"optimizer": "sgd"}},
            "depth": {"type": "int", "low": 1, "high": 2},
            "constraints": ['optimizer != "adam" or depth == 1'],
        }
    )
    assert list(generate_grid(space, resolution=3)) == [
        {"optimizer": "sgd", "momentum": momentum, "depth": depth} for momentum in (0, 0.5, 1) for depth in (1, 2)
    ] + [{"optimizer": "adam", "depth": 1}]


def test_the_grid_takes_every_step():
    """Values with a step are few by intention, so all of them are taken."""
    space = parse_space_dict({"a": {"type": "int", "low": 0, "high": 100, "step": 10}})
    assert [point["a"] for point in generate_grid(space, resolution=3)] == list(range(0, 101, 10))


def test_a_huge_grid_is_made_point_by_point():
    """A grid of 5^40 points gives its first at once."""
    space = parse_space_dict({f"x{i}": {"type": "float", "low": 0, "high": 1} for i in range(40)})
    first, second = itertools.islice(generate_grid(space), 2)
    assert set(first.values()) == {0.0}
    assert second["x39"] == 0.25


def test_the_grid_of_nothing():
    """A space of fixed values has one combination."""
    assert list(generate_grid(parse_space_dict({"a": 1}))) == [{"a": 1}]
    assert list(generate_grid(parse_space_dict({}))) == [{}]


CAPACITY = {
    "blocks": {"type": "int", "low": 1, "high": 3},
    "filters": {"type": "int", "low": 8, "high": 32, "repeat": "blocks"},
    "dense": [64, 0, 128],
    "bias": [True, False],
    "head": ["plain", "deep"],
    "head_units": {"type": "int", "low": 1, "high": 9, "when": {"head": "deep"}},
}


def test_the_smallest_and_the_largest():
    """Numbers and booleans go to their ends, text to the choice that brings the fewest or the most parameters."""
    space = parse_space_dict(CAPACITY)
    assert find_smallest(space) == {"blocks": 1, "filters_1": 8, "dense": 0, "bias": False, "head": "plain"}
    assert find_largest(space) == {
        **{"blocks": 3, "filters_1": 32, "filters_2": 32, "filters_3": 32},
        **{"dense": 128, "bias": True, "head": "deep", "head_units": 9},
    }


def test_extremes_keep_constraints():
    """An end that a constraint forbids gives way to the nearest that keeps it."""
    space = parse_space_dict(
        {
            "depth": {"type": "int", "low": 1, "high": 4},
            "units": {"type": "int", "low": 64, "high": 1024, "step": 64},
            "constraints": ["depth * units <= 2048"],
        }
    )
    assert find_smallest(space) == {"depth": 1, "units": 64}
    assert find_largest(space) == {"depth": 4, "units": 512}


def test_extremes_of_an_impossible_space():
    """Where no point is found that keeps the constraints, the plain end is returned, for its size is still asked."""
    space = parse_space_dict({"a": [1, 2], "constraints": ["a > 2"]})
    assert find_largest(space) == {"a": 2}


BATCH, UNITS = {"type": "int", "low": 8, "high": 64}, {"type": "int", "low": 1, "high": 90}


@pytest.mark.parametrize(
    ("more", "most"),
    [
        ({}, 90),
        ({"constraints": ["batch * units <= 640"]}, 80),
        ({"batch": {**BATCH, "low": 9}, "constraints": ["batch * units <= 72"]}, 8),
        (
            {"kind": ["a", "b"], "extra": {**BATCH, "when": {"kind": "a"}}, "units": {**UNITS, "when": {"kind": "b"}}},
            90,
        ),
        ({"depth": [1, 2, 3], "units": {**UNITS, "when": {"depth": 2}}}, 90),
        ({"units": [7, 30, 9], "constraints": ["units < 20"]}, 9),
        ({"units": 4}, 4),
    ],
)
def test_the_most_of_one_parameter(more, most):
    """Others are small for its sake, and have the values that it needs to exist; `find_largest` takes them in order."""
    assert find_most(parse_space_dict({"batch": BATCH, "units": UNITS, **more}), "units") == most


def test_the_most_of_a_parameter_that_is_none():
    """Its value is then the model's affair."""
    assert find_most(parse_space_dict({"units": 4}), "epochs") is None
