"""Numbers that a program knows only when it runs."""

from __future__ import annotations

import jax
import pytest

from pipelines.training.fleet.traced_number import TracedNumber


def test_it_counts_as_above_zero():
    """So Keras leaves no work out of the program, whatever the value will be."""
    number = TracedNumber(0.0)
    assert number
    assert number != 0
    assert number > 0


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (lambda n: 1 - n, 0.75),
        (lambda n: n - 1, -0.75),
        (lambda n: 2 * n + n * 2, 1.0),
        (lambda n: 1 + n + 1, 2.25),
        (lambda n: -n / 2, -0.125),
    ],
)
def test_arithmetic_is_that_of_its_value(compute, expected):
    """Also of a value that is traced."""
    assert jax.jit(lambda value: compute(TracedNumber(value)))(0.25) == expected
