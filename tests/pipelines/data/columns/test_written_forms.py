"""Numbers in parts: which columns of words are some, and which only look like it."""

import pytest

from pipelines.data.columns.text_types import ReadingRules, find_amounts, find_target_form, infer_type
from pipelines.data.columns.written_forms import describe_written, find_written_form, note_fractions
from tracking.mlflow.cell_values import read_words


@pytest.mark.parametrize(
    ("words", "numbers", "unit"),
    [
        (["1 1/2", "3/4", "2", "2-1/4"], [1.5, 0.75, 2, 2.25], ""),
        (["½", "1½", "-2 ¼", "0.5"], [0.5, 1.5, -2.25, 0.5], ""),
        (["52°31'12\"N", "33°30'S", "N 10.5°"], [52.52, -33.5, 10.5], "degrees"),
        (["13° 24' E", "0.5°W"], [13.4, -0.5], "degrees"),
        (["3 years 2 months", "1 year", "10 months"], [38, 12, 10], "months"),
        (["P1Y", "P1Y2M", "P6M"], [12, 14, 6], "months"),
        (["5'11\"", "6'", "5\u2032 2.5\u2033"], [71, 72, 62.5], "inches"),
        (["5 ft 11 in", "6 ft", "5ft"], [71, 72, 60], "inches"),
    ],
)
def test_forms_of_written_numbers(words, numbers, unit):
    """A column whose every word is such a number holds them, as a deployed model reads them, and a note states it."""
    found = infer_type(words, "a", ReadingRules())
    assert found.kind == "numeric"
    assert read_words(words, "numeric", found.form).tolist() == pytest.approx(numbers)
    assert unit in found.note and "data.columns.a.type: string" in found.note


@pytest.mark.parametrize(
    "words",
    [
        ["3/4", "1/2"],  # scores, days, fractions
        ["120/80", "130/85"],
        ["2019/20", "2020/21"],
        ["1 1/2", "half"],
        ["1 0/0", "1 1/2"],
        ["52°31'N", "13°24'E"],  # two kinds of numbers
        ["95°N", "10°N"],
        ["52°61'N", "10°N"],
        ["10 N", "20 S"],
        ["P", "PT"],
        ["P1D", "P1Y"],
        ["5 m", "6 y"],
        ["5'11\"", "6'12\""],  # minutes and seconds
        ["5'05\"", "6'02\""],
        ["6 ft", "5 ft"],  # a unit as any
        [],
    ],
)
def test_what_is_no_written_number(words):
    """Words without a doubt only: of fractions at least one has a whole number beside it, and degrees have a sign."""
    assert find_written_form(words, "a", is_number=False) is None


def test_a_latitude_needs_no_sign_of_degrees():
    """Where the column's name shows what 52.5 N is."""
    found = infer_type(["52.5 N", "33.9 S"], "start_lat", ReadingRules())
    assert read_words(["52.5 N", "33.9 S"], "numeric", found.form).tolist() == [52.5, -33.9]


def test_declared_numbers_may_be_plain_fractions():
    """Who sets numeric has decided what 3/4 is; without that a note names the key."""
    words = ["3/4", "1/2", "1/8", "5/8", "3/8"]
    assert read_words(words[:2], "numeric", find_amounts(words, "a", ReadingRules())).tolist() == [0.75, 0.5]
    assert "'3/4'" in note_fractions(words, "a") and "data.columns.a.type: numeric" in note_fractions(words, "a")
    assert note_fractions(["120/80", "130/85", "110/70", "140/90", "150/95"], "a") == ""


@pytest.mark.parametrize(
    ("words", "name", "kind", "first"),
    [
        (["14h30", "09h05"], "start", "date", 14.5 / 24),
        (["14h30", "25h05"], "a", "numeric", 52200),
        (["2h30", "1h05"], "film_duration", "numeric", 9000),
        (["2h30", "45min"], "a", "numeric", 9000),
    ],
)
def test_hours_and_minutes_around_an_h(words, name, kind, first):
    """A time of day where all are within one, as with a colon; a duration where another value or the name shows it."""
    found = infer_type(words, name, ReadingRules())
    assert found.kind == kind
    assert read_words(words[:1], kind, found.form)[0] == pytest.approx(first)


def test_times_with_and_without_an_offset_have_a_note():
    """Those without one are read as UTC, which a local time is not."""
    mixed = ["2024-01-01T10:00:00Z", "2024-01-01T10:00:00", "2024-01-02"]
    assert "'2024-01-01T10:00:00', which are read as UTC" in infer_type(mixed, "a", ReadingRules()).note
    assert infer_type([mixed[0], mixed[2]], "a", ReadingRules()).note == ""
    assert infer_type(mixed[1:], "a", ReadingRules()).note == ""


def test_a_target_in_parts_is_a_number():
    """Nine lengths from 1 1/2 to 9 1/2 are no nine classes; fractions alone stay what they were."""
    rules = ReadingRules()
    assert read_words(["2 1/2"], "numeric", find_target_form(["2 1/2", "1 1/2"], "y", rules)).tolist() == [2.5]
    assert describe_written("3 years 2 months", find_target_form(["3 years 2 months"], "y", rules)) == "38 months"
    assert find_target_form(["3/4", "1/2"], "y", rules) is None
