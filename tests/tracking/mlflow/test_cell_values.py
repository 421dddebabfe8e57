"""Cells of a table as values, which training and a deployed model read alike."""

import json
import math
from dataclasses import asdict

import pytest

from tracking.mlflow.cell_values import (
    CellForm,
    list_missing_numbers,
    read_number,
    read_words,
    write_word,
)


def test_a_form_comes_back_from_json():
    """A deployed model reads the form from a file."""
    form = CellForm(",", ".", (("€", 1.0), ("k", 1e3)), missing=("?",), replaced=(("a", "b"),))
    assert CellForm.from_json(json.loads(json.dumps(asdict(form)))) == form
    assert CellForm.from_json({}) == CellForm()


@pytest.mark.parametrize("word", ["12:30", "1/2", "10-20", "(5", "--5", "-(5)", "x", "", "5)"])
def test_what_is_no_number(word):
    """Other marks than those of numbers make a word none."""
    assert math.isnan(read_number(word))


def test_text_of_another_form():
    """A number that is not in the column's form is none, rather than another number."""
    comma = CellForm(",", ".")
    assert read_number("1.234,5", comma) == 1234.5
    assert math.isnan(read_number("1.23", comma))
    assert math.isnan(read_number("1,2,3", comma))
    assert math.isnan(read_number("5 £", CellForm(factors=(("€", 1.0),))))
    assert read_number("-inf", comma) == -math.inf
    assert read_number("1e3") == 1000


def test_booleans_in_words():
    """Words of several languages, in any case."""
    assert read_words(["Y", "Nein", "oui", "OFF", "t", "1"], "boolean").tolist() == [1, 0, 1, 0, 1, 1]


def test_words_of_numbers():
    """A number becomes the word that training had, or is refused."""
    assert [write_word(value, CellForm(digits=5)) for value in (501, 501.0, "x ", None)] == ["00501", "00501", "x", ""]
    assert write_word("YES", CellForm(replaced=(("YES", "yes"),))) == "yes"
    assert write_word(7, CellForm(missing=("7",))) == ""
    with pytest.raises(ValueError, match="expected text"):
        write_word(7, CellForm(refuses_numbers=True))


def test_numbers_that_mean_missing():
    """-999 and -999.0 are the same word for missing; other words are no numbers."""
    assert list_missing_numbers(("-999", "?"), CellForm(missing=("1,5",), decimal=",")) == [-999.0, 1.5]


@pytest.mark.parametrize("form", [CellForm(), CellForm(date_format="%Y-%m-%d")])
def test_dates_of_any_century(form):
    """Many tables have 9999-12-31 for "no end", beyond what nanoseconds since 1970 can hold."""
    found = read_words(["9999-12-31", "1970-01-02", "1492-10-12", "none"], "date", form)
    assert found[:3].tolist() == [2_932_896, 1, -174_301]
    assert math.isnan(found[3])
