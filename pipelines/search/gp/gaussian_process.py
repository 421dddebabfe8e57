"""Gaussian process with a Matern 5/2 kernel, its hyperparameters chosen by their posterior density.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapters 2 and 5; the kernel is their (4.17)
with nu = 5/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import OptimizeResult, minimize

Array = NDArray[np.float64]

_ROOT_5 = math.sqrt(5.0)
_JITTER = 1e-8
# Normal priors of the logarithms: deviation of a length scale, of the noise and of the variance of the values, whose
# means are 0.5 times the fourth root of the number of parameters, the value below, and 1.
_LENGTH_DEVIATION, _NOISE_DEVIATION, _SCALE_DEVIATION = 1.0, 2.5, 1.0
_NOISE = 1e-4
_LENGTHS, _NOISES, _SCALES = (0.03, 30.0), (1e-6, 1.0), (0.05, 20.0)
# From much noise the optimizer finds little; from little it takes noise for detail.
_FIRST_NOISE = 0.1
_FAILED = 1e10
_MOST_CHOICES = 8  # chosen: a proposal has one for the score and one for each bound


class GaussianProcess:
    """Model of values over columns of numbers, with one length scale for each group of columns.

    Args:
        groups: the group of each column, counted from 0.
        iterations: most steps of the optimizer of the hyperparameters.
    """

    def __init__(self, groups: NDArray[np.intp], *, iterations: int = 25) -> None:
        self._groups = groups
        self._count = int(groups.max()) + 1 if len(groups) else 0
        self._iterations = iterations
        self._length_mean = math.log(0.5) + 0.25 * math.log(max(self._count, 1))

    def fit(self, columns: Array, values: Array) -> None:
        """Choose the hyperparameters by values at columns of shape (values, columns), and learn the values.

        Args:
            columns: where the values are.
            values: of mean 0 and variance 1.
        """
        self.choose(columns, values)
        self.learn(columns, values)

    def choose(self, columns: Array, values: Array) -> None:
        """Choose the hyperparameters as `fit` does; the last choices of a process are known."""
        self._logs = _choose(self._groups.tobytes(), self._iterations, columns.tobytes(), values.tobytes())

    def optimize(self, columns: Array, values: Array) -> Array:
        """Return the logarithms of the hyperparameters that `fit` chooses."""
        pairs = _Pairs.of(len(values))
        limits = [*[_LENGTHS] * self._count, _NOISES, _SCALES]
        found: OptimizeResult = minimize(
            self._measure,
            np.concatenate([np.full(self._count, self._length_mean), [math.log(_FIRST_NOISE), 0.0]]),
            args=(self._square_distances(columns, pairs), pairs, values),
            jac=True,
            method="L-BFGS-B",
            bounds=[(math.log(low), math.log(high)) for low, high in limits],
            options={"maxiter": self._iterations},
        )
        return np.asarray(found.x)

    def learn(self, columns: Array, values: Array) -> None:
        """Learn values with the hyperparameters as they are."""
        self._lengths = np.exp(self._logs[: self._count])[self._groups]
        noise, self._scale = np.exp(self._logs[self._count :])
        self._columns = columns / self._lengths
        kernel = self._scale * _correlate(_square_pairs(self._columns, self._columns))
        kernel[np.diag_indices(len(values))] += noise + _JITTER
        self._factor = cholesky(kernel, lower=True, check_finite=False)
        self._weights = cho_solve((self._factor, True), values, check_finite=False)

    def predict(self, columns: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the values, without their noise, at other columns."""
        kernel = self._scale * _correlate(_square_pairs(columns / self._lengths, self._columns))
        explained = solve_triangular(self._factor, kernel.T, lower=True, check_finite=False)
        variance = self._scale - (explained * explained).sum(0)
        return kernel @ self._weights, np.sqrt(np.maximum(variance, 1e-10))

    def _square_distances(self, columns: Array, pairs: _Pairs) -> Array:
        """Return the squared distances of pairs, of shape (groups, pairs)."""
        found = np.zeros((self._count, len(pairs.left)))
        for column, group in zip(columns.T, self._groups, strict=True):
            found[group] += (column[pairs.left] - column[pairs.right]) ** 2
        return found

    def _measure(self, logs: Array, squares: Array, pairs: _Pairs, values: Array) -> tuple[float, Array]:
        """Return the negative logarithm of the posterior density and its gradient, (5.8) and (5.9) with the priors.

        Each pair is computed once; all matrices are symmetric.
        """
        count, size = self._count, len(values)
        shrink = np.exp(-2 * logs[:count])
        noise, scale = np.exp(logs[count:])
        distance = _ROOT_5 * np.sqrt(shrink @ squares)
        decay = np.exp(-distance)
        steepness = (1 + distance) * decay
        correlation = steepness + distance * distance * decay / 3
        factor, has_failed = dpotrf(pairs.fill(size, scale * correlation, scale + noise + _JITTER), lower=0, clean=0)
        if has_failed:
            return _FAILED, np.zeros_like(logs)
        inverse, own = pairs.take(dpotri(factor, lower=0)[0])
        weights = own * values + pairs.multiply(inverse, values)
        outer, own_outer = inverse - weights[pairs.left] * weights[pairs.right], own - weights * weights
        density = 0.5 * values @ weights + np.log(np.diag(factor)).sum()
        slope = np.empty_like(logs)
        slope[:count] = (squares @ (outer * steepness)) * shrink * scale * 5 / 3
        slope[count] = 0.5 * noise * own_outer.sum()
        slope[count + 1] = scale * (outer @ correlation + 0.5 * own_outer.sum())
        means = np.concatenate([np.full(count, self._length_mean), [math.log(_NOISE), 0.0]])
        deviations = np.concatenate([np.full(count, _LENGTH_DEVIATION), [_NOISE_DEVIATION, _SCALE_DEVIATION]])
        off = (logs - means) / deviations
        return float(density + 0.5 * off @ off), slope + off / deviations


@lru_cache(_MOST_CHOICES)
def _choose(groups: bytes, iterations: int, columns: bytes, values: bytes) -> Array:
    process, wanted = GaussianProcess(np.frombuffer(groups, np.intp), iterations=iterations), np.frombuffer(values)
    return process.optimize(np.frombuffer(columns).reshape(len(wanted), -1), wanted)


@dataclass(frozen=True)
class _Pairs:
    """The pairs of different rows of a symmetric matrix, by the numbers of their rows."""

    left: NDArray[np.intp]
    right: NDArray[np.intp]

    @classmethod
    def of(cls, size: int) -> _Pairs:
        return cls(*np.tril_indices(size, -1))

    def fill(self, size: int, values: Array, own: float) -> Array:
        """Return the upper half of the matrix with these values of the pairs, and one value on the diagonal."""
        matrix = np.zeros((size, size), order="F")
        matrix[self.right, self.left] = values
        matrix[np.diag_indices(size)] = own
        return matrix

    def take(self, matrix: Array) -> tuple[Array, Array]:
        """Return the values of the pairs in the upper half of a matrix, and its diagonal."""
        return matrix[self.right, self.left], np.diag(matrix)

    def multiply(self, values: Array, vector: Array) -> Array:
        """Return the product of the matrix, its diagonal left out, and a vector."""
        size = len(vector)
        one = np.bincount(self.left, values * vector[self.right], size)
        return np.asarray(one + np.bincount(self.right, values * vector[self.left], size))


def _square_pairs(left: Array, right: Array) -> Array:
    # In place, as below: memory takes the time of these.
    squares = np.asarray(left @ (-2 * right.T))
    squares += (left * left).sum(1)[:, None]
    squares += (right * right).sum(1)
    return np.maximum(squares, 0.0, out=squares)


def _correlate(squares: Array) -> Array:
    """Return the correlations at some squared distances, whose array it overwrites."""
    squares *= 5
    distance = np.sqrt(squares)
    squares /= 3
    squares += distance
    squares += 1
    squares *= np.exp(np.negative(distance, out=distance), out=distance)
    return squares
