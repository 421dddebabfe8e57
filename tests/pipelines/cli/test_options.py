"""Arguments that several verbs share."""

from __future__ import annotations

import click
import pytest

from pipelines.cli.options import TrialNumber, WholeNumber


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("-3", -3), ("64", 64)])
def test_a_whole_number_within_its_bounds_is_read(text, number):
    """The bounds themselves are allowed."""
    assert WholeNumber(-3, 64).convert(text, None, None) == number


@pytest.mark.parametrize("text", ["-4", "65", "1.5", "1e3", "1_0", "", " 7", "seven"])
def test_other_texts_are_refused(text):
    """The error names what was expected and what was got, in the form of all other errors."""
    with pytest.raises(click.BadParameter) as refused:
        WholeNumber(-3, 64).convert(text, None, None)
    assert refused.value.message == f"expected a whole number from -3 to 64, got {text}"


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("13", 13), ("t003", 3), ("T013", 13), ("t1234", 1234)])
def test_a_trial_is_named_as_it_is_shown(text, number):
    """A trial's number and its short name are one trial."""
    assert TrialNumber().convert(text, None, None) == number


@pytest.mark.parametrize("text", ["t", "", "-1", "t-1", "tt1", "x003", "1.0", "٣"])
def test_what_names_no_trial_is_refused(text):
    """The error shows both forms."""
    with pytest.raises(click.BadParameter) as refused:
        TrialNumber().convert(text, None, None)
    assert refused.value.message == f"expected the number of a trial, such as 3 or t003, got {text}"
