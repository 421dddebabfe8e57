"""What counts as the same model, and how a score of predictions is worked out."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from pydantic import TypeAdapter

from pipelines.data.prepared import Task
from pipelines.export.base import Tolerance
from pipelines.export.parity import (
    Latency,
    Parity,
    Scoring,
    choose_scoring,
    compute_agreement,
    compute_score,
    find_violation,
)
from pipelines.spec.schema import TrainingSpec

BINARY = Task("binary", ("bought",), ("no", "yes"), class_counts=(5, 5))
CLASSES = Task("multiclass", ("kind",), ("a", "b", "c"), class_counts=(5, 5, 5))
NUMBER = Task("regression", ("price",), target_mean=(0.0,), target_scale=(1.0,))
EXACT = Tolerance(difference=1e-6)
ROUNDED = Tolerance(difference=None, agreement=0.95, score=0.05, value=0.05)


def scoring(task, metric="loss", *, minimize=True):
    return Scoring(task, TrainingSpec(), metric, minimize)


def column(*values):
    return np.array(values, np.float32)[:, np.newaxis]


def test_agreement_counts_decisions():
    """Agreement is the share of rows with the same class, or with the value within the tolerance."""
    assert compute_agreement(column(0.4, 0.6, 0.51), column(0.45, 0.9, 0.49), BINARY, EXACT) == pytest.approx(2 / 3)
    got, expected = np.array([[0.1, 0.8, 0.1], [0.6, 0.3, 0.1]]), np.array([[0.2, 0.5, 0.3], [0.3, 0.6, 0.1]])
    assert compute_agreement(got, expected, CLASSES, EXACT) == 0.5
    assert compute_agreement(column(10.0, 20.4, 31.5), column(10, 20, 30), NUMBER, ROUNDED) == pytest.approx(2 / 3)
    two_outputs = compute_agreement(np.array([[0.2, 0.3]]), np.array([[0.1, 0.9]]), BINARY, EXACT)
    assert two_outputs == 1.0, "two outputs for two classes are compared with each other, not with a half"


@pytest.mark.parametrize(
    ("got", "expected", "violation"),
    [
        (column(0.5, 0.5), column(0.5, 0.5 + 5e-7), ""),
        (column(0.5, 0.5), column(0.5, 0.5 + 2e-6), "differs from the Keras model by"),
        (column(2e6), column(2e6 + 1), ""),
        (column(np.nan), column(0.5), "differs from the Keras model by nan"),
        (column(0.5), column(0.5, 0.5), "gives [1, 1] numbers, [2, 1] are expected"),
    ],
)
def test_an_exact_format_may_differ_by_rounding_alone(got, expected, violation):
    """Differences are held against the largest prediction, or 1; NaN and another shape are never equal."""
    reason = find_violation(got, expected, scoring(BINARY), EXACT, None)
    assert reason.startswith(violation)
    assert bool(reason) == bool(violation)


def test_a_rounded_format_is_held_by_its_decisions():
    """One row in twenty may decide differently, and one row always, however few there are."""
    expected = np.full((40, 1), 0.6, np.float32)

    def changed(rows, of):
        got = expected[:of].copy()
        got[:rows] = 0.4
        return find_violation(got, expected[:of], scoring(BINARY), ROUNDED, None)

    assert changed(2, 40) == ""
    assert "on 92.5% of 40 rows, 95% is expected" in changed(3, 40)
    assert changed(1, 4) == ""
    assert "on 50.0% of 4 rows" in changed(2, 4)
    assert "differs from the Keras model by nan" in find_violation(
        expected * np.nan, expected, scoring(BINARY), ROUNDED, None
    )


def test_a_rounded_format_is_held_by_its_score():
    """A score may be worse by the tolerance, and better by anything; which way is better is the metric's."""
    same = np.full((1000, 1), 0.6, np.float32)

    def judged(score, *, minimize):
        return find_violation(same, same, scoring(NUMBER, "loss", minimize=minimize), ROUNDED, (score, 1.0))

    assert judged(1.04, minimize=True) == judged(0.5, minimize=True) == ""
    assert "has a loss of 1.06, the Keras model 1 on the same 1000 rows" in judged(1.06, minimize=True)
    assert judged(0.96, minimize=False) == judged(2.0, minimize=False) == ""
    assert "has a loss of 0.94" in judged(0.94, minimize=False)


def test_scores_are_the_objectives():
    """The score is the study's own metric where predictions give it, and the task's first one elsewhere."""
    y = np.array([1, 0, 1, 1])
    predictions = column(0.9, 0.2, 0.4, 0.8)
    accuracy = choose_scoring(BINARY, TrainingSpec(), "val_accuracy", "maximize")
    assert not accuracy.minimize
    assert compute_score(predictions, y, accuracy) == pytest.approx(0.75)
    loss = choose_scoring(BINARY, TrainingSpec(), "val_loss", "minimize")
    expected = -np.mean(np.log([0.9, 0.8, 0.4, 0.8]))
    assert compute_score(predictions, y, loss) == pytest.approx(expected, rel=1e-4)
    assert choose_scoring(BINARY, TrainingSpec(), "val_something_of_mine", "maximize").metric == "accuracy"
    assert compute_score(np.zeros((4, 2), np.float32), y, accuracy) is None


def test_a_comparison_survives_its_file():
    """A comparison that was written to `parity.json` is read back as it was, as a service's client does."""
    latency = (Latency(1, 0.1, 0.2),)
    parity = Parity("onnx", "model.onnx", 5, 1e-7, 1.0, 10, "network", "p.keras", "auc", 0.5, 0.5, latency)
    assert TypeAdapter(Parity).validate_python(json.loads(json.dumps(asdict(parity)))) == parity
