"""Tests of the baselines' linear models on dense rows, beside those of scikit-learn."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from pipelines.baselines.linear_models import fit_logistic, fit_ridge
from pipelines.baselines.models import fit_constant
from pipelines.data.array_types import Array
from pipelines.data.prepared import Task


def _make_rows(rows: int, features: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features))
    return x, x @ rng.normal(size=(features, 3)) + 0.3 * rng.normal(size=(rows, 3)) + 5.0


def _make_weights(rows: int, *, weighted: bool) -> Array | None:
    return np.random.default_rng(1).uniform(0.1, 3.0, rows) if weighted else None


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("features", [4, 60])
def test_logistic_models_are_scikit_learns(classes: int, features: int, *, weighted: bool) -> None:
    """Probabilities equal those of scikit-learn, with few rows to a feature or many."""
    x, values = _make_rows(120, features)
    y = values[:, :classes].argmax(axis=1) * 2  # classes need not be counted from 0
    weights = _make_weights(len(x), weighted=weighted)

    ours = fit_logistic(x, y, weights, 200).predict_proba(x)

    theirs = LogisticRegression(max_iter=200).fit(x, y, sample_weight=weights).predict_proba(x)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("features", [4, 60])
def test_ridge_models_are_scikit_learns(features: int, *, weighted: bool) -> None:
    """Values equal those of scikit-learn, with more rows than features or fewer, for several targets."""
    x, y = _make_rows(50, features)
    weights = _make_weights(len(x), weighted=weighted)

    ours = fit_ridge(x, y, weights).predict(x)

    np.testing.assert_allclose(ours, Ridge(alpha=1.0).fit(x, y, sample_weight=weights).predict(x), atol=1e-8)


def test_rows_far_from_the_border_have_finite_probabilities() -> None:
    """Scores of thousands neither overflow nor give a probability beyond 1."""
    x = np.array([[-1e4], [-9e3], [9e3], [1e4]])

    shares = fit_logistic(x, np.array([0, 0, 1, 1]), None, 200).predict_proba(x)

    np.testing.assert_allclose(shares, [[1, 0], [1, 0], [0, 1], [0, 1]], atol=1e-3)


@pytest.mark.parametrize(("weights", "expected"), [(None, [0.25, 0.75]), (np.array([3.0, 1.0, 1.0, 1.0]), [0.5, 0.5])])
def test_the_shares_of_the_classes_count_weights(weights: Array | None, expected: list[float]) -> None:
    """A row of twice the weight counts twice; a class that training rows lack has the share 0."""
    task = Task("multiclass", ("y",), classes=("a", "b", "c"))

    shares = fit_constant(task, "val_loss", np.array([0, 2, 2, 2]), weights)(np.zeros((1, 1)))

    np.testing.assert_allclose(shares, [[expected[0], 0.0, expected[1]]])


def test_a_table_of_numbers_needs_no_scikit_learn() -> None:
    """Its baselines are fitted without a module of it."""
    code = (
        "import sys; import numpy as np; from pipelines.data.prepared import Task;"
        "from pipelines.baselines.design_matrix import DesignMatrix;"
        "from pipelines.baselines.models import fit_constant, fit_linear;"
        "x = DesignMatrix(['dense'], [()]).fit_convert([[np.eye(4)]]);"
        "task, y = Task('binary', ('y',), classes=('a', 'b')), np.array([0, 1, 0, 1]);"
        "fit_constant(task, 'val_loss', y, None)(x), fit_linear(task, x, y, None)(x);"
        "sys.exit('sklearn' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
