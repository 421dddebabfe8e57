"""What counts as the same model, and how a score of predictions is worked out."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from pydantic import TypeAdapter

from pipelines.export.base import OutputTensor, Reading, Tolerance
from pipelines.export.parity import Latency, Parity, Scores, compute_agreement, find_violation
from pipelines.export.scoring import Deciding

BINARY = OutputTensor("output_0", (1,), "float32", Reading("threshold"))
CLASSES = OutputTensor("kind", (3,), "float32", Reading("class"))
NUMBER = OutputTensor("price", (1,), "float32", Reading("value"))
EXACT = Tolerance(difference=1e-6)
ROUNDED = Tolerance(difference=None, agreement=0.95, score=0.05, value=0.05)


def agree(got, expected, output, tolerance):
    """Return the agreement of one output."""
    return compute_agreement((got,), (expected,), (output,), tolerance)


def violate(got, expected, output, tolerance, **more):
    """Return the violation of one output."""
    return find_violation((got,), (expected,), (output,), tolerance, **more)


def column(*values):
    return np.array(values, np.float32)[:, np.newaxis]


def test_agreement_counts_decisions():
    """Agreement is the share of rows with the same class, or with the value within the tolerance."""
    assert agree(column(0.4, 0.6, 0.51), column(0.45, 0.9, 0.49), BINARY, EXACT) == pytest.approx(2 / 3)
    logits = replace(BINARY, reading=Reading("threshold", 0.0))
    assert agree(column(-0.1, 0.2, 0.51), column(0.1, 0.9, 0.49), logits, EXACT) == pytest.approx(2 / 3)
    got, expected = np.array([[0.1, 0.8, 0.1], [0.6, 0.3, 0.1]]), np.array([[0.2, 0.5, 0.3], [0.3, 0.6, 0.1]])
    assert agree(got, expected, CLASSES, EXACT) == 0.5
    assert agree(column(10.0, 20.4, 31.5), column(10, 20, 30), NUMBER, ROUNDED) == pytest.approx(2 / 3)


def test_each_output_is_held_by_itself():
    """Of several outputs the worst one counts, within its own range, and is named."""
    outputs = (NUMBER, CLASSES)
    expected = (column(1e6, 2e6), np.array([[0.2, 0.5, 0.3], [0.3, 0.6, 0.1]]))
    got = (expected[0], expected[1] + 1e-3)
    assert find_violation(got, expected, outputs, EXACT).endswith("(output kind)")
    assert find_violation(expected, expected, outputs, EXACT) == ""
    swapped = (expected[0], np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]))
    assert compute_agreement(swapped, expected, outputs, EXACT) == 0.5
    assert find_violation(expected[::-1], expected, outputs, EXACT).startswith("gives [2, 3] and [2, 1] numbers")


def test_a_number_that_is_rounded_too_far_has_its_distance():
    """The message has the distance that counts as the same, in the unit of the target and as a share of its range."""
    expected = column(*range(41))
    reason = violate(expected + 3 * (expected > 30), expected, NUMBER, ROUNDED)
    assert (
        reason == "is within 2 of the Keras model, 5% of its predictions' range, on 75.6% of 41 rows, 95% is expected"
    )


def test_text_is_equal_or_not():
    """An output of words has no size of a difference."""
    words = OutputTensor("word", (1,), "string")
    got, expected = np.array([[b"a"], [b"b"]], object), np.array([[b"a"], [b"c"]], object)
    assert violate(expected, expected, words, EXACT) == ""
    assert violate(got, expected, words, EXACT) == "differs from the Keras model by inf"


def test_a_model_that_draws_random_numbers_is_held_to_its_own_noise():
    """Two predictions of one model differ; a file may differ as much, and not much more."""
    chance = np.random.default_rng(0)
    first, second = (chance.normal(size=(200, 1)) for _ in range(2))
    noise = (float(np.mean(np.abs(first - second))),)
    assert violate(second, first, NUMBER, EXACT, noise=noise) == ""
    reason = violate(second + 5, first, NUMBER, EXACT, noise=noise)
    assert "draws random numbers, and differs from itself by 1." in reason


@pytest.mark.parametrize(
    ("got", "expected", "violation"),
    [
        (column(0.5, 0.5), column(0.5, 0.5 + 5e-7), ""),
        (column(0.5, 0.5), column(0.5, 0.5 + 2e-6), "differs from the Keras model by"),
        (column(2e6), column(2e6 + 1), ""),
        (column(np.nan), column(0.5), "differs from the Keras model by nan"),
        (column(np.nan, 0.5), column(np.nan, 0.5), ""),
        (column(np.nan, 0.6), column(np.nan, 0.5), "differs from the Keras model by 0.1"),
        (column(0.5), column(0.5, 0.5), "gives [1, 1] numbers, [2, 1] are expected"),
    ],
)
def test_an_exact_format_may_differ_by_rounding_alone(got, expected, violation):
    """Differences are held against the largest prediction, or 1; NaN equals NaN alone, and another shape nothing."""
    reason = violate(got, expected, BINARY, EXACT)
    assert reason.startswith(violation)
    assert bool(reason) == bool(violation)


def test_a_rounded_format_is_held_by_its_decisions():
    """One row in twenty may decide differently, and one row always, however few there are."""
    expected = np.full((40, 1), 0.6, np.float32)

    def changed(rows, of):
        got = expected[:of].copy()
        got[:rows] = 0.4
        return violate(got, expected[:of], BINARY, ROUNDED)

    assert changed(2, 40) == ""
    assert "on 92.5% of 40 rows, 95% is expected" in changed(3, 40)
    assert changed(1, 4) == ""
    assert "on 50.0% of 4 rows" in changed(2, 4)
    assert "differs from the Keras model by nan" in violate(expected * np.nan, expected, BINARY, ROUNDED)
    gap = column(0.0, 1.0, np.nan)
    assert violate(gap + np.float32(0.01), gap, NUMBER, ROUNDED) == ""


def test_a_rounded_format_is_held_by_its_score():
    """A score may be worse by the tolerance, and better by anything; which way is better is the metric's."""
    same = np.full((1000, 1), 0.6, np.float32)

    def judged(score, *, minimize):
        return violate(same, same, NUMBER, ROUNDED, scores=Scores(Deciding("loss", minimize), score, 1.0))

    assert judged(1.04, minimize=True) == judged(0.5, minimize=True) == ""
    assert "has a loss of 1.06, the Keras model 1 on the same 1000 rows" in judged(1.06, minimize=True)
    assert judged(0.96, minimize=False) == judged(2.0, minimize=False) == ""
    assert "has a loss of 0.94" in judged(0.94, minimize=False)


def test_a_comparison_survives_its_file():
    """A comparison that was written to `parity.json` is read back as it was, as a service's client does."""
    latency = (Latency(1, 0.1, 0.2),)
    parity = Parity("onnx", "model.onnx", 5, 1e-7, 1.0, 10, "network", "p.keras", "auc", 0.5, 0.5, latency)
    assert TypeAdapter(Parity).validate_python(json.loads(json.dumps(asdict(parity)))) == parity
