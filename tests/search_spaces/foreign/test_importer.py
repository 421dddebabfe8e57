"""Tools of the readers of other formats: names, numbers, multiples and choices."""

from __future__ import annotations

import pytest

from search_spaces.foreign.importer import Reader, make_valid_name, parse_number
from search_spaces.parameters import Categorical, Fixed, Float, Int
from search_spaces.yaml_reader import parse_document


@pytest.fixture
def reader():
    return Reader(parse_document("lr: 1", "foreign.yaml"))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("lr", "lr"),
        ("a,b", "a_b"),
        (" /lr: ", "lr"),
        ("", "parameter_"),
        ("drop", "drop_"),
        ("x" * 99 + "/y", "x" * 99),
    ],
)
def test_every_text_becomes_a_valid_name(written, name):
    """Odd characters are replaced, keys of the space avoided, and a cut leaves no separator at the end."""
    assert make_valid_name(written) == name
    assert Float(name, 0.0, 1.0).name == name


@pytest.mark.parametrize(
    ("text", "number"), [("3", 3), ("1e-4", 1e-4), ("0.50", 0.5), ("1_000", None), ("three", None), ("", None)]
)
def test_a_number_in_a_text(text, number):
    """Whole numbers stay whole, and underscores, which Python would accept, are no part of a number."""
    assert (parse_number(text), type(parse_number(text))) == (number, type(number))


def test_multiples_are_counted_in_decimal_digits(reader):
    """0.3 is three steps of 0.1, so the range keeps its ends; other ends move inwards."""
    assert reader.make_multiples("lr", ("lr",), 0.1, 0.3, 0.1) == Float("lr", 0.1, 0.3, step=0.1)
    assert reader.make_multiples("lr", ("lr",), 0.15, 0.45, 0.1) == Float("lr", 0.2, 0.4, step=0.1)
    assert reader.make_multiples("lr", ("lr",), 3, 9, 1) == Int("lr", 3, 9)
    assert reader.make_multiples("lr", ("lr",), 3, 5, 4) == Fixed("lr", 4)


def test_choices_that_are_one_to_optuna_are_one(reader):
    """Of 1, 1.0 and true the first is taken; a single choice is a fixed value."""
    assert reader.make_choice("lr", ("lr",), [1, 1.0, True, 2]) == Categorical("lr", (1, 2))
    assert reader.make_choice("lr", ("lr",), [True, 1]) == Fixed("lr", True)
