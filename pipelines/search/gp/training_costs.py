"""Costs of a space's trainings, for a search that a time ends: it tries more of what is cheap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import optuna
from numpy.typing import NDArray

from pipelines.search.gp.encoding import PointEncoding, Points
from search_spaces.space import Space
from search_spaces.suggest import ConstraintViolation, suggest
from search_spaces.values import Value

Array = NDArray[np.float64]

_SAMPLES = 256  # chosen: three for each term of a space of ten hyperparameters
_FEWEST = 64  # chosen: a quarter of them
_MOST_CROSSED = 20  # columns; products of more would outnumber the sample
_RIDGE = 1e-3


class TrainingCosts:
    """Logarithm of the seconds of a training, as a quadratic function of a point's columns.

    It is fitted once, to a sample of the space: a proposal compares thousands of points, too many to estimate each.

    Args:
        space: of the points.
        estimate: returns the seconds of a training with some values.
    """

    def __init__(self, space: Space, estimate: Callable[[Mapping[str, Value]], float]) -> None:
        self._space, self._estimate = space, estimate
        self._fitted: dict[tuple[str, ...], Array] = {}

    def predict(self, encoding: PointEncoding, points: Points) -> Array:
        """Return the logarithm of the seconds of each row, but for a constant."""
        if encoding.names not in self._fitted:
            self._fitted[encoding.names] = self._fit(encoding)
        return np.asarray(_list_terms(encoding.to_columns(points)) @ self._fitted[encoding.names])

    def _fit(self, encoding: PointEncoding) -> Array:
        """Return the weight of each term, by ridge regression."""
        sample = list(self._draw_sample(self._space, encoding))
        if len(sample) < _FEWEST:
            # The seconds of a training do not depend on what a constraint leaves out.
            sample = list(self._draw_sample(replace(self._space, constraints=(), start_from=()), encoding))
        terms = _list_terms(encoding.to_columns(np.array([row for row, _ in sample])))
        logs = np.log([max(seconds, 1e-9) for _, seconds in sample])
        # Centred, so that the mean is not drawn to zero.
        centred = terms - terms.mean(0)
        penalty = _RIDGE * len(sample) * np.eye(terms.shape[1])
        return np.asarray(np.linalg.solve(centred.T @ centred + penalty, centred.T @ (logs - logs.mean())))

    def _draw_sample(self, space: Space, encoding: PointEncoding) -> Iterator[tuple[Points, float]]:
        # A fixed seed: the same study weighs its points in the same way.
        drawer = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(_SAMPLES):
            trial = drawer.ask()
            try:
                values = suggest(space, trial)
            except ConstraintViolation:
                continue
            yield encoding.encode(trial.params, trial.distributions), self._estimate(values)


def _list_terms(columns: Array) -> Array:
    """Return the columns, their squares and their products."""
    if columns.shape[1] > _MOST_CROSSED:
        return np.concatenate([columns, columns**2], axis=1)
    left, right = np.triu_indices(columns.shape[1])
    return np.concatenate([columns, columns[:, left] * columns[:, right]], axis=1)
