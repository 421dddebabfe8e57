"""Mean areas below the ROC of classes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.selection.class_areas import ClassAreas

CHANCE = np.random.default_rng(2)
LABELS = np.append(CHANCE.choice(3, 197, p=(0.7, 0.25, 0.05)), (0, 1, 2))
# Rounded, so that many rows share a score.
SHARES = np.round(CHANCE.dirichlet(np.ones(3), 200) + 0.3 * np.eye(3)[LABELS], 1)
EVERY = np.arange(200)


def test_the_mean_is_that_of_scikit_learn():
    """Of all rows and of a sample in which rows come several times, ties among the scores included."""
    for rows in (EVERY, np.append(CHANCE.integers(0, 200, 300), EVERY[-3:])):
        of_each = [roc_auc_score(LABELS[rows] == each, SHARES[rows, each]) for each in range(3)]
        assert ClassAreas(LABELS, SHARES).average(rows) == pytest.approx(np.mean(of_each))


def test_classes_that_a_sample_lacks_are_left_out():
    """Without rows of a class there is no area of it; of one class alone there is none at all."""
    rows = np.flatnonzero(LABELS != 2)
    of_two = [roc_auc_score(LABELS[rows] == each, SHARES[rows, each]) for each in range(2)]
    assert ClassAreas(LABELS, SHARES).average(rows) == pytest.approx(np.mean(of_two))
    assert np.isnan(ClassAreas(LABELS, SHARES).average(np.flatnonzero(LABELS == 1)))
