"""Comparison of two trainings of one trial."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.operations.replay.comparison import (
    ItemComparison,
    Tolerance,
    compare_arrays,
    compare_curves,
    compare_mappings,
    compare_number,
    compare_values,
    find_worst,
    tolerance_for,
)

CLOSE = Tolerance(metric_share=1e-4, metric=1e-5, weight_share=1e-3, weight=1e-4)
FINITE = st.floats(-1e6, 1e6)
CURVE = st.lists(st.fixed_dictionaries({"loss": FINITE, "val_loss": FINITE}), min_size=1, max_size=6)


def by_name(compared):
    return {each.name: each for each in compared}


def curve(*values):
    return [{"val_loss": value} for value in values]


@given(CURVE)
def test_a_training_is_equal_to_itself(epochs):
    """Each metric of a training is equal to the last bit to the same training's, and so is its length."""
    compared = compare_curves(epochs, [dict(metrics) for metrics in epochs], CLOSE)
    assert {each.agreement for each in compared} == {"equal"}
    assert {each.largest for each in compared if each.name != "epochs"} == {0.0}


@given(CURVE, st.data())
def test_the_first_epoch_that_differs_is_found(epochs, data):
    """One changed number is named with its metric, its epoch and its size; the other metric stays equal."""
    at = data.draw(st.integers(0, len(epochs) - 1))
    now = [dict(metrics) for metrics in epochs]
    now[at]["val_loss"] += 1e5
    compared = by_name(compare_curves(epochs, now, CLOSE))
    assert compared["loss"].agreement == "equal"
    assert compared["val_loss"].agreement == "different"
    assert compared["val_loss"].note == f"first in epoch {at + 1}, most in epoch {at + 1}"
    assert compared["val_loss"].largest == pytest.approx(1e5)


@given(FINITE, st.floats(-2, 2).filter(lambda allowances: abs(abs(allowances) - 1) > 1e-3))
def test_numbers_are_compared_as_in_the_trainers_tests(recorded, allowances):
    """Rounding is what `np.isclose` allows of what was recorded; equal is the same bits."""
    now = recorded + allowances * (1e-5 + 1e-4 * abs(recorded))
    close = bool(np.isclose(now, recorded, rtol=1e-4, atol=1e-5))
    assert close == (abs(allowances) < 1)
    agreement = compare_number("result", "score", recorded, now, CLOSE).agreement
    assert agreement == ("equal" if recorded == now else "rounding" if close else "different")


def test_the_largest_difference_has_an_epoch_of_its_own():
    """The first epoch that differs and the one that differs most are two values."""
    [_, compared] = compare_curves(curve(1.0, 2.0, 3.0), curve(1.0, 2.00001, 3.0001), CLOSE)
    assert (compared.agreement, compared.note) == ("rounding", "first in epoch 2, most in epoch 3")


def test_a_training_of_another_length_is_different():
    """The epochs that both have are compared all the same."""
    compared = by_name(compare_curves(curve(1.0, 2.0), curve(1.0, 2.0, 3.0), CLOSE))
    assert (compared["epochs"].agreement, compared["epochs"].recorded, compared["epochs"].now) == ("different", 2, 3)
    assert compared["val_loss"].agreement == "equal"


def test_a_metric_that_one_training_lacks_is_different():
    """The note names the epoch, and which of the two has it."""
    [_, compared] = compare_curves(curve(1.0, 2.0), [{"val_loss": 1.0}, {}], CLOSE)
    assert (compared.agreement, compared.note) == ("different", "in epoch 2 it is recorded alone")


def test_a_number_that_became_none_is_different():
    """Nothing is close to NaN but NaN, and the comparison is JSON all the same."""
    weights = [np.array([1.0, np.nan, np.inf])]
    assert compare_arrays("result", "weights", weights, weights, share=1.0, absolute=1.0).agreement == "equal"
    compared = compare_arrays("result", "weights", weights, [np.array([np.nan, np.nan, np.inf])], share=1.0, absolute=1)
    assert (compared.agreement, compared.largest) == ("different", None)
    json.dumps(asdict(compared), allow_nan=False)


def test_weights_are_compared_one_by_one():
    """The worst weight of all arrays decides."""
    recorded = [np.zeros(2, np.float32), np.ones((2, 2), np.float32)]
    now = [np.zeros(2, np.float32), np.ones((2, 2), np.float32)]
    now[1][0, 1] += 1e-3
    compared = compare_arrays("result", "weights", recorded, now, share=1e-2, absolute=0.0)
    assert (compared.agreement, compared.largest) == ("rounding", pytest.approx(1e-3, rel=1e-3))
    now[0][1] = 1e-3
    assert compare_arrays("result", "weights", recorded, now, share=1e-2, absolute=0.0).agreement == "different"


def test_weights_of_another_network_are_different():
    """Other shapes are not compared number by number."""
    compared = compare_arrays("result", "weights", [np.zeros((2, 3))], [np.zeros((3, 2))], share=1.0, absolute=1.0)
    assert (compared.agreement, compared.largest) == ("different", None)


def test_text_is_equal_or_different():
    """Arrays that hold no numbers have no difference to measure."""
    compared = compare_arrays("data", "raw", [np.array(["a"])], [np.array(["b"])], share=1.0, absolute=1.0)
    assert compared.agreement == "different"


def test_a_missing_record_is_unknown():
    """A missing record is no difference, and has a note."""
    assert compare_values("code", "model.py", None, "ab").agreement == "unknown"
    assert compare_values("code", "model.py", None, "ab").note == "not recorded"
    assert compare_values("code", "model.py", "ab", None).agreement == "different"
    assert compare_mappings("data", "rows", None, {"train": 1}).agreement == "unknown"


def test_the_keys_that_differ_are_named():
    """A mapping is one comparison, with a note on what differs."""
    compared = compare_mappings("trial", "values", {"a": 1, "b": 2, "c": None}, {"a": 1, "b": 3, "d": 4})
    assert compared.note == "b was 2, is 3; c was None, is missing; d was missing, is 4"


@pytest.mark.parametrize(
    ("trainers", "metric"),
    [(("fleet", "fleet"), 1e-6), (("fleet", "graph"), 1e-5), (("fit", "fleet"), 1e-5), (("graph", "graph"), 2e-5)],
)
def test_the_tolerance_depends_on_the_trainers(trainers, metric):
    """Each pair of trainers has the tolerance of docs/architecture.md."""
    assert tolerance_for(*trainers).metric == metric


def test_the_worst_agreement_counts():
    """An unknown agreement counts only if all are unknown."""
    agreements = ("equal", "unknown", "rounding")
    assert find_worst(ItemComparison("result", "", agreement) for agreement in agreements) == "rounding"
    assert (
        find_worst(ItemComparison("result", "", agreement) for agreement in (*agreements, "different")) == "different"
    )
    assert find_worst([ItemComparison("result", "", "unknown")]) == "unknown"
