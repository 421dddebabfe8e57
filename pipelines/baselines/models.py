"""Simple models of a task: a constant prediction, and a linear model.

Each returns a function from rows to predictions in the form of a family's output: probabilities [row, class or label],
or values [row, target]. Sparse rows go to scikit-learn, as does what else is not in `linear_models`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pipelines.baselines.linear_models import fit_logistic, fit_ridge
from pipelines.data.array_types import Array
from pipelines.data.prepared import Task
from pipelines.data.scratch import iterate_chunks

Predict = Callable[[Any], Array]
_MOST_ITERATIONS: Final = 200  # chosen; more change the third digit of a score
_ABSOLUTE: Final = ("mean_absolute_error", "mean_absolute_percentage_error")
_OF_DECISIONS: Final = ("accuracy", "precision", "recall", "f1_score", "mean_iou", "positives", "negatives")


def describe_constant(task: Task, metric: str) -> tuple[str, str]:
    """Return the name of the constant prediction that suits a metric, and what it predicts, in words.

    >>> describe_constant(Task("regression", ("y",)), "val_mean_absolute_error")
    ('median', 'predicting the median')
    """
    if task.kind in ("binary", "multiclass"):
        if metric.endswith(_OF_DECISIONS):
            return "majority", "predicting the commonest class"
        return "majority", "predicting the shares of the classes"
    if task.kind == "multi_label":
        return "majority", "predicting the shares of the labels"
    return ("median", "predicting the median") if is_absolute(metric) else ("mean", "predicting the mean")


def fit_constant(task: Task, metric: str, y: Array, weights: Array | None) -> Predict:
    """Return the constant prediction of the training rows."""
    if task.kind == "multi_label":
        shares = _find_mean(y, weights)
        return lambda x: np.tile(shares, (x.shape[0], 1))
    if task.classes:
        classes, shares = _find_shares(y, weights)
        return lambda x: _spread(np.tile(shares, (x.shape[0], 1)), classes, task)
    value = _find_median(y, weights) if is_absolute(metric) else _find_mean(y, weights)
    return lambda x: np.tile(np.reshape(value, (1, -1)), (x.shape[0], 1))


def _find_mean(y: Array, weights: Array | None) -> Array:
    """Return the mean of each output, with some rows in memory at a time."""
    total: Any = 0.0
    count = 0.0
    for start, stop in iterate_chunks(len(y), y[:1].nbytes):
        few = np.ones(stop - start) if weights is None else weights[start:stop].astype(np.float64)
        total = total + few @ y[start:stop].astype(np.float64)
        count += few.sum()
    return np.asarray(total / count)


def _find_shares(y: Array, weights: Array | None) -> tuple[Array, Array]:
    """Return the classes that rows have, and the share of each, with some rows in memory at a time."""
    found: dict[int, float] = {}
    for start, stop in iterate_chunks(len(y)):
        classes, codes = np.unique(y[start:stop], return_inverse=True)
        few = np.bincount(codes.reshape(-1), weights=None if weights is None else weights[start:stop])
        for label, count in zip(classes.tolist(), few.tolist(), strict=True):
            found[label] = found.get(label, 0.0) + count
    counts = np.array([found[label] for label in sorted(found)])
    return np.array(sorted(found)), counts / counts.sum()


def _find_median(y: Array, weights: Array | None) -> Array:
    if weights is None:
        return np.asarray(np.median(y, axis=0))
    from sklearn.dummy import DummyRegressor

    regressor = DummyRegressor(strategy="median").fit(np.zeros((len(y), 1)), y, sample_weight=weights)
    return np.asarray(regressor.constant_)


def fit_linear(task: Task, x: Any, y: Array, weights: Array | None) -> Predict:
    """Return a linear model of the training rows: logistic for classes and labels, ridge for values."""
    if task.kind == "multi_label":
        labels = [_fit_logistic(x, y[:, label].astype(int), weights) for label in range(y.shape[1])]
        return lambda rows: np.stack([_select_one(*label, rows) for label in labels], axis=1)
    if task.classes:
        logistic, classes = _fit_logistic(x, y, weights)
        return lambda rows: _spread(_predict_shares(logistic, rows), classes, task)
    ridge = _fit_sparse_ridge(x, y, weights) if hasattr(x, "tocsr") else fit_ridge(x, y, weights)
    return lambda rows: ridge.predict(rows).reshape(rows.shape[0], -1)


def _fit_sparse_ridge(x: Any, y: Array, weights: Array | None) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=1.0).fit(x, y, sample_weight=weights)


def _fit_logistic(x: Any, y: Array, weights: Array | None) -> tuple[Any, Array]:
    """Return a logistic model, or None where the rows are of one class, and the classes of its columns."""
    if len(classes := np.unique(y)) == 1:
        return None, classes
    if not hasattr(x, "tocsr"):
        return fit_logistic(x, y, weights, _MOST_ITERATIONS), classes
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # That it has not converged: the score is what it is.
        warnings.simplefilter("ignore")
        return LogisticRegression(max_iter=_MOST_ITERATIONS).fit(x, y, sample_weight=weights), classes


def _predict_shares(model: Any, rows: Any) -> Array:
    shares: Array = np.ones((rows.shape[0], 1)) if model is None else model.predict_proba(rows)
    return shares


def _select_one(model: Any, classes: Array, rows: Any) -> Array:
    shares = _predict_shares(model, rows)
    return shares[:, list(classes).index(1)] if 1 in classes else np.zeros(rows.shape[0])


def _spread(shares: Array, classes: Array, task: Task) -> Array:
    """Return probabilities with a column for each class of the task: training rows may lack one."""
    every = np.zeros((len(shares), len(task.classes)))
    every[:, np.asarray(classes, dtype=int)] = shares
    return every[:, 1:] if task.kind == "binary" else every


def is_absolute(metric: str) -> bool:
    """Return whether the median is the constant that suits a metric of values, and not the mean."""
    return metric.endswith(_ABSOLUTE)
