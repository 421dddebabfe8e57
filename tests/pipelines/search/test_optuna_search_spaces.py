"""What a study in Optuna draws from finite spaces and grids, and structures that trials share."""

from __future__ import annotations

import optuna
import pytest
from search_bench import LOSS, RATE, Cut, ask_all, complete, cut_at
from small_studies import space_of

from pipelines.search.optuna_search import OptunaSearch, SearchSettings
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import SearchSpec
from search_spaces.hypermodel_request import HyperparameterRequest

# Finite spaces -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["random", "tpe", "grid"])
def test_no_combination_is_tried_twice(search, sampler):
    """Every sampler tries each combination that keeps the constraints once, over a restart too, and then ends."""
    space = space_of(
        kind=["a", "b"],
        units={"type": "int", "low": 8, "high": 64, "log": True, "step": 2, "when": {"kind": "a"}},
        share={"type": "float", "low": 0.1, "high": 0.5, "step": 0.2},
        constraints=["units < 64 or share < 0.2"],
        epochs=3,
    )
    asked = ask_up_to(search(space, sampler=sampler, startup_trials=2), 5)
    again = search(space, sampler=sampler, startup_trials=2)
    asked += ask_all(again)
    assert len(asked) == len(set(as_texts(asked))) == 4 * 3 - 2 + 3
    assert again.is_exhausted
    assert search(space, sampler=sampler).ask() is None


def test_trials_that_share_their_structure_differ(search):
    """Where no real number can differ, the structure does."""
    asked = ask_all(search(space_of(units=[8, 16], depth=[1, 2, 3]), share_structure=4))
    assert len(asked) == len(set(as_texts(asked))) == 6


def test_known_points_are_tried_as_often_as_they_are_listed(search):
    """A point that `start_from` lists twice is trained twice; the sampler adds none of them again."""
    asked = ask_all(search(space_of(units=[8, 16, 32], start_from=[{"units": 16}, {"units": 16}])))
    assert [values["units"] for _, values in asked[:2]] == [16, 16]
    assert sorted(values["units"] for _, values in asked[2:]) == [8, 32]


@pytest.mark.parametrize("sampler", ["random", "gp", "grid"])
def test_known_points_are_tried_once_where_no_repeats_are_wanted(search, sampler):
    """`search.repeat: never`; a point listed twice that leaves a parameter open is two points."""
    twice = [{"units": 16, "depth": 1}, {"units": 16, "depth": 1}, {"units": 8}, {"units": 8}]
    space = space_of(units=[8, 16, 32], depth=[1, 2], start_from=twice)
    asked = ask_all(search(space, sampler=sampler, repeat="never"))
    assert len(asked) == len(set(as_texts(asked))) == 6
    assert [values["units"] for _, values in asked[:3]] == [16, 8, 8]


def test_only_a_study_that_searches_nothing_repeats_its_point(storage):
    """Its trials differ by their seeds, if that is wanted; without it the first trial is the last."""

    def count(name, *, repeats):
        settings = SearchSettings(space_of(units=8), LOSS, SearchSpec(sampler="random"), 3, repeats=repeats)
        search = OptunaSearch(storage, name, settings)
        return sum(search.ask() is not None for _ in range(3))

    assert (count("a", repeats=True), count("b", repeats=False)) == (3, 1)


def test_values_that_code_requests_are_not_repeated(storage):
    """Points that only the code shows are tried once each, by several trials at a time, and in a grid in order."""

    def run(name, **spec):
        settings = SearchSettings(space_of(epochs=3), LOSS, SearchSpec(**spec), 3, draws_on_request=True)
        search = OptunaSearch(storage, name, settings)
        points = []
        while (asked := search.ask()) is not None:
            kind = search.suggest_value(asked[0], HyperparameterRequest("kind", "choice", "a", choices=("a", "b")))
            other = search.ask()
            if kind == "a":
                units = search.suggest_value(asked[0], HyperparameterRequest("units", "int", 4, 4, 8, step=2))
            points.append((kind, units if kind == "a" else None))
            search.tell(complete(asked[0], 1.0))
            if other is not None:
                search.tell(TrialSummary(other[0], "failed", None, {}))
        assert search.is_exhausted
        return points

    expected = [("a", 4), ("a", 6), ("a", 8), ("b", None)]
    assert sorted(run("r", sampler="random"), key=str) == sorted(expected, key=str)
    assert run("g", sampler="grid") == expected


def test_a_value_has_the_type_of_the_code_that_requests_it(storage):
    """As its worker has it: a run in MLflow refuses a second value, and 8.0 is another text than 8."""
    initial, space = space_of(epochs=3), space_of(epochs=3, units=[8.0], rate=[0])
    settings = SearchSettings(space, LOSS, SearchSpec(sampler="random"), 3, initial, draws_on_request=True)
    search = OptunaSearch(storage, "it", settings)
    number, _ = search.ask()
    requests = (HyperparameterRequest("units", "int", 4, 4, 8), HyperparameterRequest("rate", "float", 0.1, 0.0, 1.0))
    found = [search.suggest_value(number, each) for each in requests]
    assert str(found) == str([search.trials[0].params[each.name] for each in requests]) == "[8, 0.0]"


# Grid --------------------------------------------------------------------------------------------------------


def grid_space():
    return space_of(
        rate={"type": "float", "low": 0.001, "high": 0.1, "log": True, "step": 10},
        kind=["a", "b", None],
        share={"type": "float", "low": 0.1, "high": 0.3, "step": 0.1, "when": {"kind": "a"}},
        constraints=["rate < 0.05 or share < 0.25"],
        fixed=3,
    )


def as_texts(asked):
    return sorted(repr(sorted(values.items())) for _, values in asked)


def test_a_grid_is_tried_once_and_ends(search):
    """Every combination of active values that keeps the constraints is tried once, and then there is none left."""
    asked = ask_all(search(grid_space(), sampler="grid"))
    assert len(as_texts(asked)) == len(set(as_texts(asked))) == 3 * 3 + 2 * 3 - 1
    assert sorted({round(values["rate"], 9) for _, values in asked}) == [0.001, 0.01, 0.1]
    assert sorted({round(values["share"], 9) for _, values in asked if "share" in values}) == [0.1, 0.2, 0.3]
    assert all(values["fixed"] == 3 for _, values in asked)


@pytest.mark.parametrize("after", [False, True])
def test_a_grid_survives_a_resume(search, monkeypatch, after):
    """Resumed after some points, and after a kill around the enqueuing of one, a grid still tries each point once."""
    whole = search(grid_space(), sampler="grid")
    asked = []
    for _ in range(4):
        asked.append(whole.ask())
        whole.tell(complete(asked[-1][0], 1.0))
    cut_at(monkeypatch, optuna.Study, "enqueue_trial", after=after)
    with pytest.raises(Cut):
        whole.ask()
    asked += ask_all(search(grid_space(), sampler="grid"))
    assert len(asked) == len(set(as_texts(asked))) == 14
    assert [number for number, _ in asked] == list(range(14))


def test_a_grid_comes_after_the_points_of_the_file(search):
    """They are tried first, on the grid or between its values; those on it are not tried again, nor after a stop."""
    space = space_of(
        units={"type": "int", "low": 1, "high": 101, "default": 51},
        kind=["a", "b"],
        start_from=[{"units": 7, "kind": "b"}, {"units": 26, "kind": "a"}],
    )
    asked = [search(space, sampler="grid").ask() for _ in range(3)]
    asked += ask_all(search(space, sampler="grid"))
    points = [(values["units"], values["kind"]) for _, values in asked]
    assert points[:4] == [(7, "b"), (26, "a"), (1, "a"), (1, "b")]
    assert len(points) == len(set(points)) == 1 + 5 * 2


# Shared structure --------------------------------------------------------------------------------------------

SHAPED = {
    "rate": RATE,
    "units": {"type": "int", "low": 1, "high": 512},
    "activation": [f"a{n}" for n in range(50)],
    "optimizer": ["sgd", "adam"],
    "momentum": {"type": "float", "low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
}


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_trials_in_a_row_share_their_structure(search, sampler):
    """Of four trials in a row choices and whole numbers are the same and real numbers are not."""
    spec = {"sampler": sampler, "share_structure": 4, "startup_trials": 5}
    asked = [values for _, values in ask_up_to(search(space_of(**SHAPED), **spec), 9)]
    asked += [values for _, values in ask_up_to(search(space_of(**SHAPED), **spec), 7)]  # a row goes on over a restart
    rows = [asked[start : start + 4] for start in range(0, 16, 4)]
    structures = [{(each["units"], each["activation"], each["optimizer"]) for each in row} for row in rows]
    assert [len(each) for each in structures] == [1, 1, 1, 1]
    assert len(set.union(*structures)) > 1
    assert all(len({each["rate"] for each in row}) == 4 for row in rows)


def test_structure_is_not_shared_by_default(search):
    """By default each trial draws everything."""
    asked = ask_up_to(search(space_of(**SHAPED)), 6)
    assert len({values["units"] for _, values in asked}) > 3


def ask_up_to(search, most):
    asked = []
    for _ in range(most):
        asked.append(search.ask())
        search.tell(complete(asked[-1][0], 1.0))
    return asked
