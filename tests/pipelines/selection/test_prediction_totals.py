"""Summaries from totals of batches, held to those of the same rows as whole arrays."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.selection.prediction_summary import summarize_classes, summarize_labels, summarize_numbers
from pipelines.selection.prediction_totals import ClassTotals, LabelTotals, NumberTotals

ROWS = 4_000
CHANCE = np.random.default_rng(4)


def add_batches(totals, y, predictions, losses):
    """Return the summary of rows that come in batches of several sizes."""
    for few in (slice(0, 3_000), slice(3_000, 3_001), slice(3_001, None)):
        totals.add(y[few], predictions[few], None if losses is None else losses[few])
    return totals.summarize()


def assert_alike(found, expected):
    """Assert that counts are equal, measures too but for rounding, and intervals alike in width and place."""
    assert found.pop("method") == "bootstrap over 400 random groups of rows"
    assert found.keys() == expected.keys()
    assert found["metrics"].keys() == expected["metrics"].keys()
    for name, value in expected["metrics"].items():
        # Whole arrays have means of float32 in the bins of a calibration.
        tolerance = {"auc": 5e-4, "calibration_error": 1e-6}.get(name, 1e-9)
        assert found["metrics"][name] == pytest.approx(value, rel=tolerance), name
    assert found["intervals"].keys() == expected["intervals"].keys()
    for name, (low, high) in expected["intervals"].items():
        ours = found["intervals"][name]
        assert ours[1] - ours[0] == pytest.approx(high - low, rel=0.25), name
        assert ours[0] == pytest.approx(low, abs=0.25 * (high - low)), name


def assert_same_curves(found, expected):
    """Assert that areas are alike, and those below the points that are drawn."""
    assert found["auc"] == pytest.approx(expected["auc"], abs=5e-4)
    assert found["roc"].keys() == expected["roc"].keys()
    for name, curve in found["roc"].items():
        assert (curve[0], curve[-1]) == ((0.0, 0.0), (1.0, 1.0))
        drawn, whole = (np.trapezoid(*np.array(each).T[::-1]) for each in (curve, expected["roc"][name]))
        assert drawn == pytest.approx(whole, abs=2e-3)
    assert [count for *_, count in found["calibration"]] == [count for *_, count in expected["calibration"]]
    assert np.array(found["calibration"]) == pytest.approx(np.array(expected["calibration"]), rel=1e-5)


@pytest.mark.parametrize(("count", "sharpness"), [(2, 1.5), (2, 12.0), (3, 1.5)])
def test_classes_are_summed_up_as_whole_arrays(count, sharpness):
    """Confusion and calibration count the same rows; a model that is sure of itself has its area too."""
    y = CHANCE.choice(count, ROWS, p=[0.9, 0.1] if count == 2 else [0.5, 0.3, 0.2])
    logits = CHANCE.normal(scale=sharpness, size=(ROWS, count)) + sharpness * np.eye(count)[y]
    shares = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    losses = -np.log(np.maximum(shares[np.arange(ROWS), y], 1e-7)).astype(np.float64)
    names = tuple("abc"[:count])
    expected = summarize_classes(y, shares, names, losses)
    found = add_batches(ClassTotals(ROWS, names), y, shares, losses)
    assert found["confusion"] == expected["confusion"]
    assert_alike(found, expected)
    assert_same_curves(found, expected)


def test_labels_are_summed_up_as_whole_arrays():
    """Each label has its curve, and one that no row has, has none."""
    y = np.stack([CHANCE.integers(0, 2, ROWS), np.zeros(ROWS)], axis=1).astype(np.float32)
    shares = np.clip(y * 0.4 + CHANCE.random((ROWS, 2)) * 0.6, 0, 1).astype(np.float32)
    expected = summarize_labels(y, shares, ("a", "b"))
    found = add_batches(LabelTotals(ROWS, ("a", "b")), y, shares, None)
    assert_alike(found, expected)
    assert_same_curves(found, expected)
    assert list(found["roc"]) == ["a"]


def test_numbers_are_summed_up_as_whole_arrays():
    """The share of the variance that is explained keeps its digits where values are far from zero."""
    y = (1e6 + CHANCE.normal(size=(ROWS, 2))).astype(np.float64)
    predicted = y + CHANCE.normal(scale=0.3, size=(ROWS, 2))
    losses = ((y - predicted) ** 2).mean(axis=1)
    expected = summarize_numbers(y, predicted, ("u", "v"), losses)
    found = add_batches(NumberTotals(ROWS, ("u", "v")), y, predicted, losses)
    assert_alike(found, expected)
    rows = dict(zip(predicted[:, 0].tolist(), y[:, 0].tolist(), strict=True))
    assert [len(pairs) for pairs in found["residuals"].values()] == [500, 500]
    assert all(rows[at] == value for at, value in found["residuals"]["u"])
