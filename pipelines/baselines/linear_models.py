"""Logistic and ridge regression on dense rows, as scikit-learn's `LogisticRegression` and `Ridge` fit them.

For a study whose rows are a dense table that is all a baseline needs, and scikit-learn takes 0.8 seconds of a core to
import. Objective, optimizer and its limits are scikit-learn's, so predictions are equal but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipelines.data.array_types import Array

# scikit-learn's for L-BFGS, with its penalty of C = 1.
_GRADIENT: Final = 1e-4
_LINE_SEARCHES: Final = 50
_ROUNDINGS: Final = 64


@dataclass(frozen=True)
class Logistic:
    """Logistic model: `weights` [feature, column], `intercepts` [column]; one column for two classes."""

    weights: Array
    intercepts: Array

    def predict_proba(self, rows: Any) -> Array:
        """Return the probability of each class [row, class]."""
        scores = np.asarray(rows, np.float64) @ self.weights + self.intercepts
        if scores.shape[1] > 1:
            return _softmax(scores)
        second = _sigmoid(scores)
        return np.concatenate([1.0 - second, second], axis=1)


def fit_logistic(x: Array, y: Array, weights: Array | None, iterations: int) -> Logistic:
    """Return the logistic model of dense rows with a penalty of half the squared weights.

    Args:
        x: [row, feature].
        y: class of each row [row], of two classes or more.
        weights: of the rows [row].
        iterations: of the optimizer, at most.
    """
    from scipy.optimize import minimize  # a seventh of a second

    x = np.asarray(x, np.float64)
    classes = np.unique(y)
    hits = (np.asarray(y)[:, None] == classes).astype(np.float64)
    hits = hits[:, 1:] if len(classes) == 2 else hits
    share = np.full(len(x), 1.0 / len(x)) if weights is None else np.asarray(weights, np.float64) / np.sum(weights)
    penalty = 1.0 / (len(x) if weights is None else float(np.sum(weights)))
    shape = (x.shape[1] + 1, hits.shape[1])

    def compute(flat: Array) -> tuple[float, Array]:
        model = flat.reshape(shape)
        scores = x @ model[:-1] + model[-1]
        losses, predicted = _compute_losses(scores, hits)
        wrong = (predicted - hits) * share[:, None]
        gradient = np.concatenate([x.T @ wrong + penalty * model[:-1], wrong.sum(axis=0, keepdims=True)])
        return float(share @ losses + 0.5 * penalty * np.sum(model[:-1] ** 2)), gradient.reshape(-1)

    limits = {"maxiter": iterations, "maxls": _LINE_SEARCHES, "gtol": _GRADIENT}
    limits["ftol"] = _ROUNDINGS * np.finfo(np.float64).eps
    found = minimize(compute, np.zeros(shape).reshape(-1), method="L-BFGS-B", jac=True, options=limits)
    model = found.x.reshape(shape)
    return Logistic(model[:-1], model[-1])


def _compute_losses(scores: Array, hits: Array) -> tuple[Array, Array]:
    """Return the loss of each row [row], and the probabilities [row, column]."""
    if scores.shape[1] == 1:
        losses = np.logaddexp(0.0, scores) - hits * scores
        return losses[:, 0], _sigmoid(scores)
    top = scores.max(axis=1, keepdims=True)
    whole = top + np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
    losses = (whole - (scores * hits).sum(axis=1, keepdims=True))[:, 0]
    return losses, np.exp(scores - whole)


def _sigmoid(scores: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * scores))


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


@dataclass(frozen=True)
class RidgeModel:
    """Linear model: `weights` [feature, target], `intercepts` [target]."""

    weights: Array
    intercepts: Array

    def predict(self, rows: Any) -> Array:
        """Return the values [row, target]."""
        values: Array = np.asarray(rows, np.float64) @ self.weights + self.intercepts
        return values


def fit_ridge(x: Array, y: Array, weights: Array | None) -> RidgeModel:
    """Return the linear model of dense rows with a penalty of the squared weights; the intercept has none.

    Args:
        x: [row, feature].
        y: [row] or [row, target].
        weights: of the rows [row].
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64).reshape(len(x), -1)
    mean_x, mean_y = np.average(x, axis=0, weights=weights), np.average(y, axis=0, weights=weights)
    roots = np.ones((len(x), 1)) if weights is None else np.sqrt(np.asarray(weights, np.float64))[:, None]
    rows, values = (x - mean_x) * roots, (y - mean_y) * roots
    if rows.shape[1] <= rows.shape[0]:
        found = np.linalg.solve(rows.T @ rows + np.eye(rows.shape[1]), rows.T @ values)
    else:
        # The same by rows, which are fewer.
        found = rows.T @ np.linalg.solve(rows @ rows.T + np.eye(rows.shape[0]), values)
    return RidgeModel(found, mean_y - mean_x @ found)
