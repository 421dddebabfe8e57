"""Tree of tried points: no point of a finite space twice, in spaces that only the trials show."""

from __future__ import annotations

import itertools
import random

import optuna
import pytest

from pipelines.search.tried_points import TriedPoints
from pipelines.search.untried_sampler import FirstValueSampler, UntriedSampler
from search_spaces.distribution_values import list_grid, list_values


def draw(trial):
    """Draw as code with plain conditions does: 2 + 3 * 2 + 1 points."""
    kind = trial.suggest_categorical("kind", ["flat", "deep", None])
    if kind == "flat":
        trial.suggest_int("units", 8, 16, step=8)
    if kind == "deep":
        for layer in range(trial.suggest_int("layers", 1, 1)):
            trial.suggest_int(f"units_{layer}", 1, 3)
        trial.suggest_float("rate", 0.1, 0.2, step=0.1)


POINTS = 9


def make_study(sampler, grid=False):
    tried = TriedPoints(list_grid if grid else list_values)
    return optuna.create_study(sampler=UntriedSampler(sampler, tried)), tried


def run(study, tried, most=50, code=draw):
    """Run trials until there is no room; return their points."""
    points = []
    while tried.has_room and len(points) < most:
        trial = study.ask()
        code(trial)
        tried.close(study.trials[trial.number])
        study.tell(trial, random.Random(trial.number).random())
        points.append(tuple(sorted(trial.params.items())))
    return points


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("seed", range(3))
def test_each_point_is_tried_once(sampler, seed):
    """Every sampler tries each point of a space with conditions once, and then there is no room."""
    samplers = {
        "random": optuna.samplers.RandomSampler(seed=seed),
        "tpe": optuna.samplers.TPESampler(seed=seed, n_startup_trials=2),
    }
    study, tried = make_study(samplers[sampler])
    points = run(study, tried)
    assert len(points) == len(set(points)) == POINTS
    assert tried.is_exhausted


def test_a_real_number_has_no_end():
    """Where a real number is drawn nothing is ever exhausted; beside it, finite branches are."""

    def code(trial):
        if trial.suggest_categorical("kind", ["one", "many"]) == "many":
            trial.suggest_float("rate", 0.0, 1.0)

    study, tried = make_study(optuna.samplers.RandomSampler(seed=1))
    points = run(study, tried, most=30, code=code)
    assert len(set(points)) == 30
    assert sum(point == (("kind", "one"),) for point in points) == 1
    assert not tried.is_exhausted


def test_a_grid_is_walked_in_order():
    """The first parameter varies slowest, a range has five values, and a step has all of its own."""

    def code(trial):
        trial.suggest_float("rate", 0.0, 1.0)
        trial.suggest_int("power#idx", 0, 6)

    study, tried = make_study(FirstValueSampler(list_grid), grid=True)
    points = [dict(point) for point in run(study, tried, code=code)]
    expected = itertools.product([0.0, 0.25, 0.5, 0.75, 1.0], range(7))
    assert [(point["rate"], point["power#idx"]) for point in points] == list(expected)


def test_trials_that_draw_one_value_at_a_time_take_different_points():
    """Trials of several workers draw in any order: no two get one point, and none starts without a point left."""
    rng = random.Random(5)
    study, tried = make_study(optuna.samplers.RandomSampler(seed=2))
    running, points = [], []
    for _ in range(500):
        if tried.has_room and len(running) < 4 and rng.random() < 0.5:
            trial = study.ask()
            running.append((trial, request(trial)))
            tried.update(study.trials[trial.number])
        elif running:
            trial, requests = running[rng.randrange(len(running))]
            if next(requests, None) is None:
                running = [each for each in running if each[0] is not trial]
                tried.close(study.trials[trial.number])
                points.append(tuple(sorted(trial.params.items())))
            else:
                tried.update(study.trials[trial.number])
    assert len(points) == len(set(points)) == POINTS


def request(trial):
    """Yield after each value, as the code of a model requests them."""
    kind = trial.suggest_categorical("kind", ["flat", "deep", None])
    yield kind or "none"
    if kind == "flat":
        yield trial.suggest_int("units", 8, 16, step=8)
    if kind == "deep":
        yield trial.suggest_int("units_0", 1, 3)
        yield trial.suggest_float("rate", 0.1, 0.2, step=0.1)


def test_a_second_trial_waits_until_the_first_shows_what_is_drawn():
    """While nothing is known there may be a single point, and the running trial has that."""
    study, tried = make_study(optuna.samplers.RandomSampler(seed=2))
    first = study.ask()
    tried.update(study.trials[0])
    assert not tried.has_room
    assert not tried.is_exhausted
    first.suggest_categorical("kind", ["a", "b"])
    tried.update(study.trials[0])
    assert tried.has_room
    tried.close(study.trials[0])
    assert tried.has_room


def test_no_trial_waits_where_a_real_number_was_drawn():
    """Once a trial has shown that a real number follows, any number of trials may be on their way to it."""
    study, tried = make_study(optuna.samplers.RandomSampler(seed=2))
    first = study.ask()
    first.suggest_categorical("kind", ["a"])
    first.suggest_float("rate", 0.0, 1.0)
    tried.update(study.trials[0])
    for number in (1, 2, 3):
        assert tried.has_room
        study.ask().suggest_categorical("kind", ["a"])
        tried.update(study.trials[number])


def test_a_trial_that_failed_before_it_drew_shows_nothing():
    """It leaves room for the next one, which shows the space."""
    study, tried = make_study(optuna.samplers.RandomSampler(seed=2))
    study.ask()
    tried.update(study.trials[0])
    study.tell(0, state=optuna.trial.TrialState.FAIL)
    tried.end(study.trials[0])
    assert tried.has_room
