"""Points that a study in Optuna begins with, and points that its constraints reject."""

from __future__ import annotations

import optuna
import pytest
from search_bench import LOSS, RATE, Cut, cut_at, ordered, with_points
from small_studies import space_of

from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.starting_points import StartingPoints
from pipelines.spec.schema import SearchSpec
from search_spaces.suggest import ConstraintViolation

# First points ------------------------------------------------------------------------------------------------


def test_defaults_come_first_then_start_from(search):
    """The first trial takes the defaults, the next ones the points of `start_from`; what they leave open is drawn."""
    it = search(with_points({"rate": 0.5, "units": 3}, {"rate": 0.25, "units": 7}))
    first, second, third = (it.ask()[1] for _ in range(3))
    assert first["rate"] == 0.01
    assert 1 <= first["units"] <= 64
    assert [second, third] == [{"rate": 0.5, "units": 3}, {"rate": 0.25, "units": 7}]


def test_first_points_are_not_repeated_by_a_resume(search):
    """Opening a study again enqueues nothing that it has: neither what waits nor what was asked."""
    space = with_points({"rate": 0.5, "units": 3})
    search(space).ask()
    later = search(space)
    values = [later.ask()[1] for _ in range(4)]
    assert values[0] == {"rate": 0.5, "units": 3}
    assert all(each["rate"] not in (0.01, 0.5) for each in values[1:])


def test_first_points_survive_a_kill_while_they_are_enqueued(search, monkeypatch):
    """A kill between two first points loses none."""
    space = with_points({"rate": 0.5, "units": 3}, {"rate": 0.25, "units": 7})
    cut_at(monkeypatch, optuna.Study, "enqueue_trial", call=2)
    with pytest.raises(Cut):
        search(space)
    it = search(space)
    assert [it.ask()[1]["rate"] for _ in range(3)] == [0.01, 0.5, 0.25]


def test_equal_points_are_each_tried(search):
    """A point that `start_from` has twice is tried twice, before and after a resume."""
    space = with_points({"rate": 0.5, "units": 3}, {"rate": 0.5, "units": 3})
    asked = [search(space).ask()[1] for _ in range(4)]  # each from a process of its own
    assert [each["rate"] == 0.5 for each in asked] == [False, True, True, False]


def test_a_value_whose_parent_is_drawn_holds_where_it_exists(search):
    """Also after a stop: half of these trials draw the parent that it needs."""
    space = space_of(
        kind=["a", "b"],
        x={**RATE, "when": {"kind": "a"}},
        y=RATE,
        start_from=[{"x": 0.5, "y": n / 10} for n in range(1, 9)],
    )
    asked = [search(space).ask()[1] for _ in range(8)]  # each from a process of its own
    assert [values["y"] for values in asked] == [n / 10 for n in range(1, 9)]
    assert {values.get("x") for values in asked} == {0.5, None}


def test_points_that_wait_in_the_store_are_used(search, storage):
    """An earlier version left points waiting in the store: they are tried under their numbers, and not once more."""
    space = with_points({"rate": 0.5, "units": 3})
    search(space)
    waiting = optuna.load_study(study_name="it", storage=storage)
    waiting.enqueue_trial({"rate": 0.01})
    waiting.enqueue_trial({"rate": 0.5, "units": 3})
    it = search(space)
    asked = [it.ask() for _ in range(3)]
    assert [number for number, _ in asked] == [0, 1, 2]
    assert [values["rate"] for _, values in asked[:2]] == [0.01, 0.5]
    assert asked[2][1]["rate"] not in (0.01, 0.5)
    assert search(space).trials == it.trials


def test_points_that_wait_take_up_no_budget(search):
    """A point counts once it is drawn, not once it is enqueued."""
    assert len(search(with_points({"rate": 0.5, "units": 3})).trials) == 0


@pytest.mark.parametrize("starting", [StartingPoints(draws=5), StartingPoints(({"units": 2}, {"units": 3}))])
def test_starting_points_keep_the_constraints(storage, starting):
    """As many are tried as the line of `run` states: those that break one are drawn again."""
    space = space_of(
        rate={**RATE, "default": 0.01},
        units={"type": "int", "low": 1, "high": 64, "default": 2},
        constraints=["units * rate < 0.05"],
    )
    spec = SearchSpec(sampler="random", pruner="none")
    search = OptunaSearch(storage, "it", SearchSettings(space, LOSS, spec, 5, starting_points=starting))
    count = 1 + (starting.draws or len(starting.portfolio))
    asked = [search.ask() for _ in range(count)]
    assert [number for number, _ in asked] == list(range(count))
    assert [values["units"] for _, values in asked[1:3]] == [2, 3] or starting.draws


# Constraints -------------------------------------------------------------------------------------------------


def test_rejected_points_take_up_no_budget(search):
    """A point that breaks a constraint is drawn again; it is in no list of trials and in no budget."""
    it = search(ordered())
    asked = [it.ask() for _ in range(8)]
    assert all(values["first"] < values["second"] for _, values in asked)
    assert asked[-1][0] > 7, "this seed was to draw a point that breaks the constraint"
    assert len(it.trials) == len(it.trials) == 8
    assert len(search(ordered()).trials) == 8


def test_a_kill_while_a_point_is_rejected_costs_nothing(search, monkeypatch):
    """A rejected point that a kill left half recorded is rejected once, and is no interrupted trial."""
    cut_at(monkeypatch, optuna.Study, "tell")
    with pytest.raises(Cut):
        [search(ordered()).ask() for _ in range(30)]
    it = search(ordered())
    before = len(it.trials)
    kept = list(it.resume_interrupted())
    assert len(kept) == len(it.trials) == before
    it.ask()
    assert len(it.trials) == len(it.trials) == before + 1


def test_a_constraint_that_no_point_satisfies_is_reported(search, monkeypatch):
    """After many rejected draws the search gives up, and leaves no trial under way."""
    monkeypatch.setattr("pipelines.search.kept_points._PROPOSALS", 5)
    it = search(ordered("first > second + 8"))
    with pytest.raises(ConstraintViolation, match="first > second"):
        it.ask()
    assert len(it.trials) == 0
    assert it.trials == ()
    assert list(search(ordered("first > second + 8")).resume_interrupted()) == []
