"""The Gaussian process: its gradient, and what it learns."""

from __future__ import annotations

import numpy as np
from scipy.optimize import check_grad

from pipelines.search.gp.gaussian_process import GaussianProcess, _Pairs

RANDOM = np.random.default_rng(3)
POINTS = RANDOM.random((25, 3))
GROUPS = np.array([0, 1, 1])


def standardize(values):
    return (values - values.mean()) / values.std()


def test_the_gradient_is_that_of_the_density():
    process = GaussianProcess(GROUPS)
    values = standardize(np.sin(6 * POINTS[:, 0]))
    pairs = _Pairs.of(len(POINTS))
    squares = process._square_distances(POINTS, pairs)
    start = np.array([-0.3, 0.4, -3.0, 0.2])
    error = check_grad(
        lambda logs: process._measure(logs, squares, pairs, values)[0],
        lambda logs: process._measure(logs, squares, pairs, values)[1],
        start,
    )
    assert error < 1e-3


def test_it_finds_the_parameter_that_matters():
    process = GaussianProcess(np.array([0, 1, 2]))
    process.fit(POINTS, standardize(np.sin(6 * POINTS[:, 0])))
    lengths = np.exp(process._logs[:3])
    assert lengths[0] * 2 < min(lengths[1:])
    mean, deviation = process.predict(POINTS)
    assert np.abs(mean - standardize(np.sin(6 * POINTS[:, 0]))).max() < 0.1
    assert deviation.max() < 0.2


def test_it_takes_noise_for_noise():
    points = RANDOM.random((60, 2))
    values = standardize(points[:, 0] + RANDOM.normal(0, 0.5, 60))
    process = GaussianProcess(np.array([0, 1]))
    process.fit(points, values)
    noise = np.exp(process._logs[2])
    assert noise > 0.1


def test_far_from_everything_the_deviation_is_that_of_the_values():
    process = GaussianProcess(np.array([0]))
    process.fit(np.zeros((4, 1)) + RANDOM.random((4, 1)) * 0.01, np.array([1.0, -1.0, 1.0, -1.0]))
    _, near = process.predict(np.array([[0.005]]))
    _, far = process.predict(np.array([[1e6]]))
    assert far[0] > near[0]
    assert np.isclose(far[0] ** 2, process._scale)
