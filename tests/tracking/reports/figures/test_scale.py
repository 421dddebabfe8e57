"""Places of values on axes, and their ticks."""

from __future__ import annotations

import itertools
import math

import pytest

from tracking.reports.figures.scale import Scale


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([1, 2, 3], ["1", "2", "3"]),
        ([0, 25_000], ["0", "5,000", "10,000", "15,000", "20,000", "25,000"]),
        ([5.0], ["4.8", "4.9", "5.0", "5.1", "5.2"]),
    ],
)
def test_ticks_are_round(values, expected):
    """Ticks are round numbers with as many digits as distinguish them."""
    axis = Scale.from_numbers(values).make_axis()
    assert [text for _, text in axis.ticks] == expected
    assert all(0 <= place <= 1 for place, _ in axis.ticks)


def test_a_logarithmic_axis_has_powers():
    """Each decade has the same width, and values at or below 0 have no place."""
    scale = Scale.from_numbers([1e-4, 1.0], is_log=True)
    texts = [text for _, text in scale.make_axis().ticks]
    assert texts == ["0.0001", "0.001", "0.01", "0.1", "1"]
    places = [scale.place(10.0**power) for power in range(-4, 1)]
    steps = [after - before for before, after in itertools.pairwise(places)]
    assert steps == pytest.approx([steps[0]] * 4)
    assert math.isnan(scale.place(0.0))


def test_other_values_stand_in_a_row():
    """Text, truth values and mixed values have a place each; one that is not there has none."""
    scale = Scale.from_values(["sgd", "adam", True, 1, None])
    places = [scale.place(value) for value in ("sgd", "adam", True, 1, None)]
    assert len(set(places)) == 5
    assert all(0 < place < 1 for place in places)
    assert math.isnan(scale.place("other"))


@pytest.mark.parametrize(
    "values", [[], [math.nan], [math.inf], [1e-300, 1e300], [-1e15, 1e15], [7.0] * 3, [1.0, 1.0 + 1e-15]]
)
def test_odd_values_have_an_axis(values):
    """Empty, equal, huge and infinite values make no error."""
    axis = Scale.from_numbers(values).make_axis()
    assert 1 <= len(axis.ticks) <= 12
    assert Scale.from_numbers(values, is_log=True).make_axis().ticks is not None
