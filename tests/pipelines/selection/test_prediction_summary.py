"""Summaries of predictions against scikit-learn and against known cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from pipelines.selection.prediction_summary import (
    compute_auc,
    summarize_classes,
    summarize_labels,
    summarize_numbers,
)

CHANCE = np.random.default_rng(3)


def shares_of(y, count, sharpness=1.5):
    logits = CHANCE.normal(size=(len(y), count)) + sharpness * np.eye(count)[y]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_classes_are_summed_up():
    """Confusion, accuracy, areas and F1 are scikit-learn's; each row counts once."""
    y = CHANCE.integers(0, 3, 400)
    shares = shares_of(y, 3)
    found = summarize_classes(y, shares, ("a", "b", "c"), losses=-np.log(shares[np.arange(400), y]))
    guessed = shares.argmax(axis=1)
    assert found["confusion"] == metrics.confusion_matrix(y, guessed).tolist()
    assert found["metrics"]["accuracy"] == pytest.approx(metrics.accuracy_score(y, guessed))
    assert found["metrics"]["f1_macro"] == pytest.approx(metrics.f1_score(y, guessed, average="macro"))
    assert found["metrics"]["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(y, guessed))
    assert found["metrics"]["auc"] == pytest.approx(metrics.roc_auc_score(y, shares, multi_class="ovr"))
    low, high = found["intervals"]["auc"]
    assert low < found["metrics"]["auc"] < high
    assert found["metrics"]["loss"] == pytest.approx(metrics.log_loss(y, shares))
    for each, name in enumerate("abc"):
        assert found["auc"][name] == pytest.approx(metrics.roc_auc_score(y == each, shares[:, each]))
        curve = found["roc"][name]
        assert curve[0] == (0.0, 0.0)
        assert curve[-1] == (1.0, 1.0)
        assert curve == sorted(curve)
    assert sum(count for *_, count in found["calibration"]) == 400


def test_two_classes_have_one_curve():
    """Of two classes the second is the positive one, and its probability is what is calibrated."""
    y = CHANCE.integers(0, 2, 300)
    shares = shares_of(y, 2)
    found = summarize_classes(y, shares, ("no", "yes"))
    assert list(found["roc"]) == ["yes"]
    assert found["metrics"]["auc"] == pytest.approx(metrics.roc_auc_score(y, shares[:, 1]))
    assert min(confidence for confidence, *_ in found["calibration"]) < 0.3


def test_the_interval_covers_the_truth():
    """The bootstrap interval of an accuracy is about as wide as the binomial one, and holds the measured value."""
    y = CHANCE.integers(0, 2, 500)
    right = CHANCE.random(500) < 0.9
    shares = np.where(np.eye(2)[np.where(right, y, 1 - y)] == 1, 0.8, 0.2)
    found = summarize_classes(y, shares, ("no", "yes"))
    low, high = found["intervals"]["accuracy"]
    accuracy = found["metrics"]["accuracy"]
    assert low < accuracy < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(accuracy * (1 - accuracy) / 500), rel=0.25)


def test_a_perfect_score_is_not_sure():
    """An accuracy of 1 on 18 rows has the interval of 18 successes; an area of 1 in every sample has none."""
    y = np.array([0, 1] * 9)
    shares = np.where(np.eye(2)[y] == 1, 0.9, 0.1)
    found = summarize_classes(y, shares, ("no", "yes"))
    assert found["intervals"]["accuracy"] == (pytest.approx(0.824, abs=1e-3), 1.0)
    assert "auc" not in found["intervals"]


def test_a_regression_is_summed_up():
    """Errors and R2 are scikit-learn's, of several outputs together; rows are drawn up to a limit."""
    y = CHANCE.normal(size=(900, 2))
    predicted = y + CHANCE.normal(scale=0.3, size=(900, 2))
    found = summarize_numbers(y, predicted, ("u", "v"))
    assert found["metrics"]["mean_absolute_error"] == pytest.approx(metrics.mean_absolute_error(y, predicted))
    assert found["metrics"]["root_mean_squared_error"] == pytest.approx(
        metrics.root_mean_squared_error(y.ravel(), predicted.ravel())
    )
    assert found["metrics"]["r2_score"] == pytest.approx(
        metrics.r2_score(y, predicted, multioutput="variance_weighted")
    )
    assert {name: len(pairs) for name, pairs in found["residuals"].items()} == {"u": 500, "v": 500}


def test_labels_are_summed_up():
    """Each label has its curve; one that no row has, has none."""
    y = np.stack([CHANCE.integers(0, 2, 200), np.zeros(200)], axis=1)
    found = summarize_labels(y, np.clip(y * 0.6 + CHANCE.random((200, 2)) * 0.4, 0, 1), ("a", "b"))
    assert list(found["roc"]) == list(found["auc"]) == ["a"]


@pytest.mark.parametrize("rows", [1, 2])
def test_few_rows_are_no_error(rows):
    """A part of one row has metrics, and a wide interval."""
    found = summarize_classes(np.zeros(rows, dtype=int), np.full((rows, 2), 0.5), ("a", "b"))
    assert found["rows"] == rows
    low, high = found["intervals"]["accuracy"]
    assert high - low > 0.5
    assert found["roc"] == {}
    assert summarize_numbers(np.zeros((rows, 1)), np.zeros((rows, 1)), ("y",))["metrics"]["bias"] == 0


def test_ties_share_their_rank():
    """Equal scores for all rows are no better than chance."""
    assert compute_auc(np.array([True, False, True]), np.ones(3)) == 0.5
    assert np.isnan(compute_auc(np.array([True, True]), np.ones(2)))
