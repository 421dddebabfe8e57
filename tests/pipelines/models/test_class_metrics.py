"""Metrics in which each class counts alike."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from pipelines.models.class_metrics import BalancedAccuracy, MeanArea

CHANCE = np.random.default_rng(4)
LABELS = CHANCE.choice(4, 300, p=(0.5, 0.3, 0.18, 0.02)).astype("int32")
SHARES = CHANCE.dirichlet(np.ones(4), 300).astype("float32")
SHARES = ((SHARES + 0.5 * np.eye(4)[LABELS]) / 1.5).astype("float32")
WEIGHTS = CHANCE.uniform(0, 3, 300).astype("float32")


def measure(metric, labels, predicted, weights=None):
    """Return the value over two batches."""
    for rows in (slice(0, 100), slice(100, None)):
        metric.update_state(labels[rows], predicted[rows], sample_weight=None if weights is None else weights[rows])
    return float(metric.result())


def area():
    return MeanArea(multi_label=True, num_labels=4)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_balanced_accuracy_is_that_of_scikit_learn(weights):
    """Of more classes the likeliest one is predicted; rows count by their weights."""
    found = measure(BalancedAccuracy(4), LABELS, SHARES, weights)
    assert found == pytest.approx(balanced_accuracy_score(LABELS, SHARES.argmax(axis=1), sample_weight=weights))


def test_balanced_accuracy_of_two_classes():
    """One probability decides at a half, whatever the shape of the labels."""
    labels, share = (LABELS == 3).astype("int32"), SHARES[:, 3:] + 0.2
    expected = balanced_accuracy_score(labels, share[:, 0] > 0.5)
    assert measure(BalancedAccuracy(2), labels, share) == pytest.approx(expected)
    assert measure(BalancedAccuracy(2), labels[:, None], share) == pytest.approx(expected)


def test_the_mean_area_is_that_of_scikit_learn():
    """Each class against the rest, alike in the mean: a rare class counts as much as the commonest."""
    found = measure(area(), np.eye(4, dtype="float32")[LABELS], SHARES)
    expected = roc_auc_score(LABELS, SHARES, multi_class="ovr", average="macro")
    assert found == pytest.approx(expected, abs=2e-3)  # Keras's 200 thresholds


def test_a_class_without_rows_is_left_out():
    """The mean is over the classes that have rows, so that a score does not depend on the others."""
    labels = np.where(LABELS == 3, 0, LABELS)
    of_three = [roc_auc_score(labels == each, SHARES[:, each]) for each in range(3)]
    assert measure(area(), np.eye(4, dtype="float32")[labels], SHARES) == pytest.approx(np.mean(of_three), abs=2e-3)
    recalls = [np.mean(SHARES[labels == each].argmax(axis=1) == each) for each in range(3)]
    assert measure(BalancedAccuracy(4), labels, SHARES) == pytest.approx(np.mean(recalls))


def test_rows_of_one_class_have_no_area():
    """Nothing can be ranked there, and the score is 0 rather than not a number."""
    assert measure(area(), np.eye(4, dtype="float32")[np.zeros(300, int)], SHARES) == 0.0


def test_forgotten_batches_do_not_count():
    """Epochs follow each other: a metric that is reset begins anew."""
    for metric, labels in ((BalancedAccuracy(4), LABELS), (area(), np.eye(4, dtype="float32")[LABELS])):
        first = measure(metric, labels, SHARES)
        metric.reset_state()
        assert keras.ops.convert_to_numpy(metric.variables[0]).sum() == 0
        assert measure(metric, labels, SHARES) == first
