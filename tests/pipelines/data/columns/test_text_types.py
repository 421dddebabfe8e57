"""Types and forms of text columns, found from their words."""

import numpy as np
import pytest

from pipelines.data.columns.number_forms import FormConflict, Marks
from pipelines.data.columns.text_types import (
    ReadingRules,
    find_amounts,
    find_file_marks,
    find_word_form,
    infer_type,
    note_missing_words,
    note_unknown_unit,
)
from tracking.mlflow.cell_values import CellForm, read_words

RULES = ReadingRules()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["$1,234.50", "$88.24", "-$5.00"], [1234.5, 88.24, -5]),
        (["100 €", "1.500 €", "7 €"], [100, 1500, 7]),
        (["12.5%", "3%", "0"], [12.5, 3, 0]),
        (["(300)", "(1,800.10)", "291.26"], [-300, -1800.1, 291.26]),
        (["300-", "25", "\u22125"], [-300, 25, -5]),
        (["3k", "1.5M", "487"], [3000, 1.5e6, 487]),
        (["1 234,5", "12,25"], [1234.5, 12.25]),
        (["1\u00a0234,5", "12"], [1234.5, 12]),
        (["1'234.50", "9'876.00"], [1234.5, 9876]),
        (["₹1,23,456.78", "₹12,345.00"], [123456.78, 12345]),
        (["1,203", "987"], [1203, 987]),
        (["0,123", "0,456"], [0.123, 0.456]),
        (["$68,978", "$54,342"], [68978, 54342]),
        (["5 km", "300 m"], [5000, 300]),
        (["36 months", "60 months"], [36, 60]),
        (["$5m", "$7k"], [5e6, 7e3]),
        (["5m", "7m"], [5, 7]),
        (["12 KB", "900 B"], [12000, 900]),
        (["1,5 Mio. €", "300 Tsd. €"], [1.5e6, 3e5]),
        (["1.203", "2.987"], [1.203, 2.987]),
        (["1.203", "987", "1234"], [1.203, 987, 1234]),
    ],
)
def test_forms_of_numbers(words, values):
    """A form that all words have is found, and read by the functions of a deployed model."""
    found = infer_type(words, "a", RULES)
    assert found.kind == "numeric"
    assert read_words(words, "numeric", found.form) == pytest.approx(values)
    assert found.note == "" or "data.columns.a." in found.note


@pytest.mark.parametrize(
    ("words", "conflict"),
    [
        (["1.203", "987"], 'may be 1203 or 1.203; set thousands: "." or decimal: "."'),
        (["1,203", "2,987"], 'set thousands: "," or decimal: ","'),
        (["$5", "€7"], r"several currencies: \$, €"),
        (["12.5%", "0.3"], "and others without, such as '0.3'"),
        (["15 788", "64,222"], r"64,222 beside 15 788, .* set thousands: \" \" and decimal: \",\""),
        (["1.5", "1.234.567"], "between thousands in '1.234.567'"),
        (["03/04/2020", "05/06/2020"], "day and month may change places"),
    ],
)
def test_forms_in_doubt(words, conflict):
    """Words that have two meanings, or contradict each other, are refused."""
    with pytest.raises(FormConflict, match=conflict.replace("(", r"\(")):
        infer_type(words, "a", RULES)


@pytest.mark.parametrize(
    ("words", "rules", "values"),
    [
        (["1.203", "987"], ReadingRules(thousands="."), [1203, 987]),
        (["1.203", "987"], ReadingRules(decimal="."), [1.203, 987]),
        (["15 788", "64,222"], ReadingRules(decimal=",", thousands=" "), [15788, 64.222]),
        (["15 788", "64,222"], ReadingRules(others=Marks(",")), [15788, 64.222]),
        (["1.203", "987"], ReadingRules(others=Marks(",")), [1203, 987]),
        (["1.203", "987"], ReadingRules(others=Marks(".")), [1.203, 987]),
        (["1.203", "2.987"], ReadingRules(others=Marks(",")), [1203, 2987]),
        (["1,203", "2,987"], ReadingRules(others=Marks(".")), [1203, 2987]),
    ],
)
def test_doubts_resolved(words, rules, values):
    """The study file decides, else what the other columns of the source show."""
    assert read_words(words, "numeric", infer_type(words, "a", rules).form).tolist() == values


def test_marks_of_a_source():
    """The marks that its columns agree on; none where they contradict each other."""
    assert find_file_marks([["1,5", "2,25"], ["x"], ["1.203", "9"]]) == Marks(",", None)
    assert find_file_marks([["1,5"], ["1.5"]]) == Marks(None, None)
    assert find_file_marks([["1.234,5"]]) == Marks(",", ".")


@pytest.mark.parametrize(
    "words",
    [
        ["1.2.3", "1.2.10", "2.0.0"],
        ["10.0.0.1", "192.168.1.1"],
        ["10-20", "20-30"],
        ["1/2", "3/4"],
        ["A1", "A2"],
        ["1st", "2nd"],
        ["555-1234", "555-9999"],
        ["5'11\"", "6'18\""],
        ["1.2.30", "2.10.14"],
        ["S", "M"],
    ],
)
def test_what_is_no_number(words):
    """Versions, addresses, ranges, telephone numbers and names stay words."""
    assert infer_type(words, "a", RULES) is None


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["31/12/2020", "01/02/2021"], "2020-12-31"),
        (["12/31/20", "01/02/21"], "2020-12-31"),
        (["01.02.2020", "03.04.2020"], "2020-02-01"),
        (["05 Feb 2020", "6 Mar 2021"], "2020-02-05"),
        (["February 5, 2020", "March 11, 2021"], "2020-02-05"),
        (["Jan 6 2020", "Feb 7 2020"], "2020-01-06"),
        (["5. Februar 2020", "12. März 2020"], "2020-02-05"),
        (["5 févr. 2020", "14 juil. 2020"], "2020-02-05"),
        (["5 de febrero de 2020", "1 de mayo de 2020"], "2020-02-05"),
        (["December 31st, 2020", "January 1st, 2021"], "2020-12-31"),
        (["Mon, 06 Jan 2020", "Tue, 07 Jan 2020"], "2020-01-06"),
        (["Dec-2019", "Jan-2020"], "2019-12-01"),
        (["Dec-19", "Jan-20"], "2019-12-01"),
        (["2020-Jan-06", "2020-Feb-07"], "2020-01-06"),
        (["2020-02", "2021-12"], "2020-02-01"),
        (["02/2020", "12/2021"], "2020-02-01"),
        (["2020/1/5", "2020/12/31"], "2020-01-05"),
        (["20200131", "20210228", "20201231", "19990101", "20000229"], "2020-01-31"),
        (["31/12/2020 14:05", "01/01/2021 09:30"], "2020-12-31T14:05"),
        (["12/31/2020 2:05:30 PM", "01/13/2021 9:30:00 AM"], "2020-12-31T14:05:30"),
        (["14:05", "00:30"], "1970-01-01T14:05"),
        (["2:05 PM", "11:30 AM"], "1970-01-01T14:05"),
        (["2pm", "11am"], "1970-01-01T14:00"),
        (["2 PM", "12 AM"], "1970-01-01T14:00"),
        (["03/03/2020", "05/05/2020"], "2020-03-03"),
        (["2020Q2", "2021Q4"], "2020-04-01"),
        (["Mi, 21.04.2021", "Fr, 09.09.2022"], "2021-04-21"),
        (["lundi 5 mars 2021", "mardi 6 avril 2021"], "2021-03-05"),
        (["2020-q2", "2021-q4"], "2020-04-01"),
        (["Q2 2020", "Q4 2021"], "2020-04-01"),
        (["2Q 2020", "4Q 2021"], "2020-04-01"),
        (["2020-W05", "2020-W53"], "2020-01-27"),
        (["2020W05", "2021W01"], "2020-01-27"),
        (["2020-W05-3", "2020-W06-1"], "2020-01-29"),
    ],
)
def test_forms_of_dates(words, first):
    """A form that all words are dates in is found; a time of day alone is a part of a day."""
    found = infer_type(words, "a", RULES)
    assert found.kind == "date"
    days = (np.datetime64(first) - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    assert read_words(words, "date", found.form)[0] == pytest.approx(days)
    assert "data.columns.a.format" in found.note


def test_the_order_of_day_and_month():
    """Where no day is above 12, the study file states which comes first."""
    words = ["03/04/2020", "05/06/2020"]
    assert infer_type(words, "a", ReadingRules(dayfirst=True)).form.date_format == "%d/%m/%Y"
    assert infer_type(words, "a", ReadingRules(dayfirst=False)).form.date_format == "%m/%d/%Y"


def test_whole_numbers_that_are_no_dates():
    """A number of eight digits that is no date makes none of the column; years are numbers."""
    assert infer_type(["20200131", "20210229", "20201231", "19990101", "20000230"], "a", RULES).kind == "numeric"
    assert infer_type(["2019", "2020"], "a", RULES).kind == "numeric"


@pytest.mark.parametrize(
    ("words", "form"),
    [
        (["00501", "93934"], CellForm(digits=5)),
        (["01", "117"], CellForm(refuses_numbers=True)),
        (["1.50", "2"], CellForm(refuses_numbers=True)),
        (["7", "12", "x"], CellForm()),
    ],
)
def test_numbers_of_a_column_of_words(words, form):
    """Codes of one length are padded; other words that a number loses zeros of take no numbers."""
    assert find_word_form(words) == form


def test_leading_zeros():
    """Digits of which some begin with a zero are codes; among fractions they are numbers."""
    assert infer_type(["00501", "93934"], "a", RULES).kind == "string"
    assert "data.columns.a.type: numeric" in infer_type(["00501", "93934"], "a", RULES).note
    assert infer_type(["007", "1.5"], "a", RULES).kind == "numeric"


def test_categories_that_table_readers_take_for_missing():
    """A missing value stands for the only such category of a column without gaps; with gaps, a note shows the way."""
    assert find_word_form(["DE", "NA"], has_gaps=False).absent == "NA"
    assert find_word_form(["DE", "NA"], has_gaps=True).absent == ""
    assert find_word_form(["None", "NA"], has_gaps=False).absent == ""
    assert "keep_default_na=False" in note_missing_words(["DE", "NA", ""], CellForm(), "a")
    assert note_missing_words(["DE", "FR"], CellForm(), "a") == ""


def test_dots_that_may_stand_between_thousands():
    """Where nothing shows what a column's dots are, they are read as Python does, with a note and the key."""
    found = infer_type(["8.640", "109.870"], "a", RULES)
    assert found is not None
    assert 'holds 8.640, read as 8.64; if "." stands between thousands, set data.columns.a.thousands: "."' in found.note
    for words, rules in ((["8.64", "9.870"], RULES), (["8.640"], ReadingRules(others=Marks(".")))):
        shown = infer_type(words, "a", rules)
        assert shown is not None and shown.note == ""


def test_numbers_with_an_unknown_unit():
    """They are categories with a note, and the type that it names reads them; sizes and ordinals have none."""
    words = [f"{power} PS" for power in (75, 90, 110, 140, 200)]
    assert infer_type(words, "a", RULES) is None
    assert "with \"PS\" behind, such as '75 PS'" in note_unknown_unit(words, "a")
    assert "data.columns.a.type: numeric" in note_unknown_unit(words, "a")
    assert read_words(words, "numeric", find_amounts(words, "a", RULES)).tolist() == [75, 90, 110, 140, 200]
    for others in (["1st", "2nd", "3rd", "4th", "5th"], ["3 doors", "5 doors"], ["A1", "A2", "A3", "A4", "A5"]):
        assert note_unknown_unit(others, "a") == ""


def test_words_by_which_people_mean_missing():
    """Pandas keeps them, so they are categories, with a note and the key."""
    words = ["red", "?", "blue"]
    found = note_missing_words(words, find_word_form(words), "c")
    assert found == '"?" is a category of column "c"; if it means "missing", set data.missing_values: {"c": ["?"]}'
