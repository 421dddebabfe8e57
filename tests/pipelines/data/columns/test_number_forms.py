"""Texts around a column's numbers: what may stand before one, and what behind it."""

import pytest

from pipelines.data.columns.number_forms import find_factors, split_numbers


@pytest.mark.parametrize("words", [["s000", "s119"], ["m1", "m2"], ["k7", "k8"], ["h 3", "h 4"]])
def test_a_unit_before_its_digits_is_a_name(words):
    """Shops, machines and rooms are named so; a number has its unit behind it."""
    assert find_factors(split_numbers(words)) is None


@pytest.mark.parametrize(
    ("words", "factors"),
    [
        (["12 s", "30 s"], (("s", 1.0),)),
        (["%50", "%7"], (("%", 1.0),)),
        (["€ 5", "€ 7"], (("€", 1.0),)),
        (["US$5", "US$7"], (("US$", 1.0),)),
    ],
)
def test_what_stands_before_a_number(words, factors):
    """A currency and the sign of per cent stand before a number in some countries."""
    assert find_factors(split_numbers(words)) == factors
