"""Points of a space as rows of numbers and as columns of distances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pipelines.search.gp.encoding import Axis, PointEncoding

DISTRIBUTIONS = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.5, step=0.1),
    "depth": IntDistribution(1, 4),
    "units": IntDistribution(16, 256, log=True),
    "batch": CategoricalDistribution((128, 32, 64)),
    "activation": CategoricalDistribution(("relu", "tanh", "silu")),
    "bias": CategoricalDistribution((True, False)),
}
ENCODING = PointEncoding(DISTRIBUTIONS)


@given(st.lists(st.floats(0, 1), min_size=len(DISTRIBUTIONS), max_size=len(DISTRIBUTIONS)))
def test_a_snapped_row_survives_decoding_and_encoding(coordinates):
    row = ENCODING.snap(np.array([coordinates]))[0]
    values = ENCODING.decode(row)
    for name, value in values.items():
        assert DISTRIBUTIONS[name]._contains(DISTRIBUTIONS[name].to_internal_repr(value)), (name, value)
    np.testing.assert_allclose(ENCODING.encode(values, DISTRIBUTIONS), row, atol=1e-9)


def test_numbers_in_a_list_are_ordered_and_words_are_not():
    columns = ENCODING.to_columns(
        np.array([ENCODING.encode({"batch": batch, "activation": word}, DISTRIBUTIONS) for batch, word in [
            (32, "relu"), (64, "tanh"), (128, "silu"),
        ]])
    )  # fmt: skip
    of = {name: np.flatnonzero(ENCODING.groups == index) for index, name in enumerate(ENCODING.names)}
    batch = columns[:, of["batch"]]
    assert (np.diff(batch[:, 0]) > 0).all()
    word = columns[:, of["activation"]]
    distances = np.square(word[:, None] - word[None]).sum(-1)
    np.testing.assert_allclose(distances, 1 - np.eye(3))


def test_true_and_one_are_different_choices():
    axis = Axis.make("x", CategoricalDistribution((True, False)))
    assert not axis.is_ordered


def test_what_a_point_lacks_is_nan_and_left_out_of_its_values():
    row = ENCODING.encode({"depth": 2}, DISTRIBUTIONS)
    assert np.isnan(row).sum() == len(DISTRIBUTIONS) - 1
    assert ENCODING.decode(row) == {"depth": 2}
    assert np.isfinite(ENCODING.to_columns(row[None])).all()


def test_a_value_of_another_range_becomes_the_nearest_end():
    old = {"rate": FloatDistribution(1e-6, 1.0, log=True)}
    assert ENCODING.encode({"rate": 1e-6}, old)[0] == 0
    assert ENCODING.encode({"rate": 1.0}, old)[0] == 1


def test_a_choice_that_is_gone_and_a_parameter_of_another_kind_are_left_out():
    old = {"activation": CategoricalDistribution(("elu", "relu")), "depth": CategoricalDistribution((1, "deep"))}
    row = ENCODING.encode({"activation": "elu", "depth": 1}, old)
    assert np.isnan(row).all()


@pytest.mark.parametrize("distribution", [IntDistribution(1, 10**9, log=True), IntDistribution(0, 10**9, step=8)])
def test_very_many_whole_numbers_stay_within_their_range(distribution):
    axis = Axis.make("x", distribution)
    values = [axis.decode(coordinate) for coordinate in np.linspace(0, 1, 50)]
    assert all(distribution._contains(value) and isinstance(value, int) for value in values)
    assert values == sorted(values)
    assert math.isclose(axis.encode(values[20]), np.linspace(0, 1, 50)[20], abs_tol=1e-4)
