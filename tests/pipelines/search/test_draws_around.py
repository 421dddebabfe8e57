"""Starting points near a point."""

from __future__ import annotations

import statistics

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pipelines.search.draws_around import draw_around

DISTRIBUTIONS = {
    "rate": FloatDistribution(1e-4, 1.0, log=True),
    "units": IntDistribution(8, 64, step=8),
    "kind": CategoricalDistribution(["a", "b"]),
    "width": IntDistribution(1, 1000, log=True),
    "share": FloatDistribution(0.0, 1.0, step=0.25),
    "only": FloatDistribution(0.5, 0.5),
}
POINT = {"rate": 1e-2, "units": 32, "kind": "a", "width": 10, "share": 0.5, "only": 0.5}


def test_draws_are_values_of_the_parameters():
    """Every draw has a value for each parameter that its distribution can take."""
    for drawn in draw_around(POINT, DISTRIBUTIONS, 200, 1):
        assert list(drawn) == list(POINT)
        for name, value in drawn.items():
            assert DISTRIBUTIONS[name]._contains(DISTRIBUTIONS[name].to_internal_repr(value)), (name, value)


def test_draws_lie_around_the_point():
    """Half of them are above and half below, and most choices stay."""
    drawn = draw_around(POINT, DISTRIBUTIONS, 400, 1)
    assert 0.005 < statistics.median(each["rate"] for each in drawn) < 0.02
    assert 0.8 < sum(each["kind"] == "a" for each in drawn) / 400 < 0.98


def test_draws_depend_on_the_seed_alone():
    """A resumed study lists the same ones."""
    assert draw_around(POINT, DISTRIBUTIONS, 3, 1) == draw_around(POINT, DISTRIBUTIONS, 3, 1)
    assert draw_around(POINT, DISTRIBUTIONS, 3, 1) != draw_around(POINT, DISTRIBUTIONS, 3, 2)
