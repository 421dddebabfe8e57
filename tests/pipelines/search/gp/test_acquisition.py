"""Expected improvement, and the point that has the most of it."""

from __future__ import annotations

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.integrate import quad
from scipy.stats import norm

from pipelines.search.gp.acquisition import compute_log_improvement, find_best_point
from pipelines.search.gp.encoding import PointEncoding


def test_it_is_the_integral_over_what_is_better():
    mean, deviation = np.array([0.2, -1.0, 3.0]), np.array([0.5, 1.0, 0.1])
    found = np.exp(compute_log_improvement(mean, deviation, 0.7))
    for m, d, value in zip(mean, deviation, found, strict=True):
        integral, _ = quad(lambda y, m=m, d=d: (y - 0.7) * norm.pdf(y, m, d), 0.7, m + 12 * d)
        assert np.isclose(value, max(integral, 1e-300), rtol=1e-6)


def test_the_logarithm_stays_finite_and_falls_far_below_the_best():
    mean = np.array([-1.0, -10.0, -24.9, -25.1, -100.0, -1e4])
    found = compute_log_improvement(mean, np.ones(6), 0.0)
    assert np.isfinite(found).all()
    assert (np.diff(found) < 0).all()
    # The asymptotic series of the normal distribution's tail.
    assert np.isclose(found[4], norm.logpdf(100) - 2 * np.log(100), rtol=1e-4)


def test_it_finds_the_best_point_within_the_rules():
    encoding = PointEncoding(
        {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1), "kind": CategoricalDistribution(("a", "b", "c"))}
    )

    def evaluate(points):
        return -np.square(points[:, 0] - 0.3) - np.square(points[:, 1] - 0.8) + (points[:, 2] > 0.7)

    def restrict(points):
        allowed = points.copy()
        allowed[points[:, 0] > 0.2] = np.nan
        return allowed

    row, value = find_best_point(encoding, evaluate, restrict, np.zeros((0, 3)), np.random.default_rng(0))
    values = encoding.decode(row)
    assert values["kind"] == "c"
    assert values["x"] <= 0.2
    assert abs(values["x"] - 0.2) < 0.05
    assert abs(values["y"] - 0.8) < 0.05
    assert value > 0.95
