"""Starting points of a study: their origin, their number, and how the search tries them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from small_studies import space_of

from pipelines.search import starting_points
from pipelines.search.earlier_trials import EarlierTrial, EarlierTrials, write_earlier_trials
from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.starting_points import StartingPoints, choose_starting_points
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import SearchSpec
from pipelines.study.objective import Objective
from pipelines.workspace.home import Home

RATE = {"type": "float", "low": 1e-4, "high": 1.0, "log": True, "default": 1e-2}
UNITS = {"type": "int", "low": 1, "high": 100, "default": 10}
POINTS = tuple({"units": units, "rate": 0.5} for units in range(20, 28))


@pytest.fixture
def choose(monkeypatch, tmp_path):
    """Return a function that chooses the starting points of a study with so many trials."""
    home = Home(tmp_path, str(tmp_path))
    monkeypatch.setattr(starting_points, "list_portfolio", lambda family, space: POINTS if family == "mlp" else ())

    def choose_for(trials, space=None, model="mlp", sampler="gp", undeclared=(), **search):
        study = SimpleNamespace(space=space or space_of(units=UNITS, rate=RATE), has_user_model=":" in model)
        spec = SimpleNamespace(model=model, search=SearchSpec(sampler=sampler, **search))
        return choose_starting_points(
            SimpleNamespace(
                name="it",
                home=home,
                objective=Objective("val_loss", "minimize"),
                spec=spec,
                study=study,
                most_trials=trials,
                undeclared=undeclared,
                combinations=None,
            )
        )

    return choose_for


@pytest.mark.parametrize(("trials", "count"), [(4, 0), (5, 1), (24, 4), (25, 5), (1000, 5)])
def test_a_fifth_of_the_trials_at_most_five(choose, trials, count):
    """A small budget tries only the first points of a portfolio."""
    assert choose(trials) == StartingPoints(POINTS[:count])


def test_the_file_may_give_the_number(choose):
    """`search.starting_points` is the number, 0 turns them off."""
    assert choose(10, starting_points=8) == StartingPoints(POINTS)
    assert choose(100, starting_points=0) == StartingPoints()


def test_without_a_portfolio_they_are_draws_around_the_defaults(choose):
    """So it is for user models, where there are defaults in the space or in the code."""
    assert choose(30, model="model.py:build") == StartingPoints(draws=5)
    bare = space_of(rate={name: value for name, value in RATE.items() if name != "default"})
    assert choose(30, space=bare, model="model.py:build") == StartingPoints()
    assert choose(30, space=bare, model="model.py:build", undeclared=("units",)) == StartingPoints(draws=5)


def test_samplers_that_do_not_learn_have_none(choose):
    """Random points are meant to be random, and a grid has its order."""
    assert [choose(30, sampler=name) for name in ("random", "qmc", "grid")] == [StartingPoints()] * 3


def earlier_study(tmp_path, *points):
    """Keep the trials of an earlier study for this one, as its start does."""
    folder = Home(tmp_path, str(tmp_path)).locate_study("it")
    folder.mkdir(parents=True)
    trials = tuple(EarlierTrial(point, {}, float(score)) for score, point in enumerate(points))
    write_earlier_trials(folder, EarlierTrials("before", trials))
    return {"start_from": {"study": "before"}}


@pytest.mark.parametrize("sampler", ["random", "qmc", "grid", "tpe"])
def test_an_earlier_study_is_tried_first_with_every_sampler(choose, tmp_path, sampler):
    """The file names it, so one of its points is tried however small the budget is."""
    named = earlier_study(tmp_path, {"units": 9, "rate": 0.1}, {"units": 8, "rate": 0.2})
    expected = StartingPoints(({"units": 9, "rate": 0.1},), study="before")
    assert choose(4, sampler=sampler, **named) == expected
    assert choose(4, sampler=sampler, starting_points=0, **named) == StartingPoints()
    # The copied trials count while the file names their study.
    assert choose(30, sampler=sampler).study == ""


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_line_names_an_earlier_study_that_does_not_fit(choose, tmp_path, sampler):
    found = choose(30, sampler=sampler, **earlier_study(tmp_path, {"depth": 1, "activation": "relu"}))
    line = "search.start_from: no complete trial of study before has half of a point of this space"
    assert found.describe().split("; ")[0] == line
    assert bool(found.portfolio) == (sampler == "tpe")


def test_a_line_says_how_many_and_how_to_turn_them_off(choose):
    """It names the key; without starting points there is no line."""
    assert choose(30).describe() == (
        "5 starting points learned on other data sets are tried after the defaults; search.starting_points: 0 turns "
        "them off"
    )
    assert "1 starting point drawn around the defaults is" in choose(5, model="m.py:build").describe()
    assert StartingPoints().describe() == ""


@pytest.fixture
def ask_all(store):
    """Return a function that asks a study for so many trials, as each supervisor of it would."""
    storage = store.open_optuna_storage()

    def ask(count, starting, start_from=()):
        space = space_of(units=UNITS, rate=RATE, start_from=list(start_from))
        spec = SearchSpec(sampler="random", pruner="none")
        settings = SearchSettings(space, Objective("loss", "minimize"), spec, 5, starting_points=starting)
        search = OptunaSearch(storage, "it", settings)
        asked = [search.ask() for _ in range(count)]
        for number, _ in asked:
            search.tell(TrialSummary(number, "complete", 1.0, {}))
        return [(values["units"], values["rate"]) for _, values in asked]

    return ask


def test_points_come_after_those_of_the_space(ask_all):
    """First the defaults and `start_from`, then the portfolio, then what the sampler draws; each once after a stop."""
    starting = StartingPoints(POINTS[:2])
    first = [{"units": 50, "rate": 0.1}]
    assert ask_all(3, starting, first) == [(10, 0.01), (50, 0.1), (20, 0.5)]
    following = ask_all(3, starting, first)
    assert following[0] == (21, 0.5)
    assert not {(20, 0.5), (21, 0.5), (10, 0.01)} & set(following[1:])


def test_draws_are_the_same_after_a_stop(ask_all):
    """A resumed study goes on with the draws that it has not tried."""
    starting = StartingPoints(draws=3)
    before, after = ask_all(2, starting), ask_all(3, starting)
    assert before[0] == (10, 0.01)
    assert len({*before, *after}) == 5
