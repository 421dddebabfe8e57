"""Values of hyperparameters: equality and text."""

from __future__ import annotations

import pytest

from search_spaces.values import describe, format_value, is_same


def test_true_is_not_one():
    """Values are the same as a person sees them."""
    assert is_same(1, 1.0)
    assert is_same(None, None)
    assert not is_same(True, 1)
    assert not is_same(0, False)
    assert not is_same("1", 1)


@pytest.mark.parametrize(("value", "text"), [(None, "null"), (True, "true"), (0.5, "0.5"), ("sgd", "sgd")])
def test_a_value_has_the_form_of_a_study_file(value, text):
    """Null, true and false are written as in YAML."""
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing (null)"),
        (True, "true"),
        ("a\nb", 'the text "a\\nb"'),
        ([1], "a list"),
        ({}, "a mapping"),
        (10**30, "a whole number with many digits"),
        (0.5, "0.5"),
        (object(), "a object"),
    ],
)
def test_messages_describe_a_value_by_its_kind(value, text):
    """A message has the kind of a value in plain words, and the value where it is short."""
    assert describe(value) == text
