"""Points that keep constraints which few points keep, with every sampler."""

from __future__ import annotations

import pytest
from search_bench import ask_all, complete
from small_studies import space_of

from search_spaces.suggest import ConstraintViolation

UNIT = {"type": "float", "low": 0, "high": 1}
SAMPLERS = ("random", "qmc", "tpe", "gp", "nsga2")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_point_of_two_thousand_is_found(search, sampler):
    """Each trial costs few rejected ones; a search that is opened anew draws the same."""
    space = space_of(x=UNIT, y=UNIT, kind=["a", "b"], z={**UNIT, "when": {"kind": "a"}}, constraints=["x * y > 0.97"])

    def ask(it):
        number, values = it.ask()
        it.tell(complete(number, values["x"]))
        return number, values

    it = search(space, sampler=sampler)
    asked = [ask(it) for _ in range(3)]
    assert all(values["x"] * values["y"] > 0.97 for _, values in asked)
    assert asked[-1][0] < 3 * 25
    assert len({(values["x"], values["y"]) for _, values in asked}) == 3


def test_points_that_need_equal_values_are_found_on_a_grid(search, monkeypatch):
    """No random real number equals another one."""
    monkeypatch.setattr("pipelines.search.kept_points._BATCHES", 1)
    it = search(space_of(x=UNIT, y=UNIT, constraints=["x == y"]))
    asked = [it.ask()[1] for _ in range(5)]
    assert sorted(values["x"] for values in asked) == [0, 0.25, 0.5, 0.75, 1]
    with pytest.raises(ConstraintViolation):
        it.ask()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_point_that_is_kept_is_tried(search, sampler):
    """Of 8,000 combinations ten keep the constraint; a stop in between changes nothing, and then there is none left."""
    number = {"type": "int", "low": 1, "high": 20}
    space = space_of(a=number, b=number, c=number, constraints=["a + b + c >= 58"])
    first = search(space, sampler=sampler)
    asked = [first.ask() for _ in range(4)]
    again = search(space, sampler=sampler)
    list(again.resume_interrupted())
    asked += ask_all(again)
    assert len({tuple(values.values()) for _, values in asked}) == len(asked) == 10
    assert again.is_exhausted


def test_a_known_point_is_completed_so_that_it_keeps_the_constraints(search):
    """What it leaves open is drawn, and one of a hundred draws keeps the constraint."""
    whole = {"type": "int", "low": 1, "high": 100}
    space = space_of(a=whole, b=whole, start_from=[{"a": 2}, {"a": 1}, {"a": 2}], constraints=["b <= a"])
    asked = [search(space).ask()[1] for _ in range(3)]  # each from a process of its own
    assert [values["a"] for values in asked] == [2, 1, 2]
    assert all(values["b"] <= values["a"] for values in asked)
