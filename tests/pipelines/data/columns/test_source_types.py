"""Typed columns: times of day, durations and bytes, and what is refused."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest

from pipelines.data.columns.column_reading import read_column
from pipelines.data.reading.tabular_files import convert_frame
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError
from tracking.mlflow.model_loader import _convert_value, _make_word


def read(values):
    raw = convert_frame(pd.DataFrame({"a": values}), "d.parquet", "data.source")
    return read_column(raw.table["a"], "a", raw, DataSpec(source="d.parquet"))


def test_durations_are_seconds():
    """They are numbers of seconds, with a note, for training and for a deployed model."""
    values = pd.Series(pd.to_timedelta([90, None, 3600], unit="s"))
    found = read(values)
    assert found.kind == "numeric"
    assert np.array_equal(found.values, [90.0, np.nan, 3600.0], equal_nan=True)
    assert "durations, which are read as seconds" in found.notes[0]
    assert _convert_value(values[0], "numeric", "a", 0) == 90.0


def test_times_of_day_are_read_as_their_text_is():
    """A time of day is a share of a day, as the text 14:30:00 is; the deployed model reads it by the same form."""
    found = read([datetime.time(12, 0), datetime.time(18, 0), None])
    assert found.kind == "date"
    assert found.values.tolist()[:2] == [0.5, 0.75]
    assert _make_word(datetime.time(12, 0), found.form) == "12:00:00"


def test_strings_that_hold_something_else():
    """JSON has no dates: ISO dates among strings are dates. Whole numbers as text stay categories, with a note."""
    found = read(["2024-05-01", "2024-05-02T12:00:00.000", None])
    assert found.kind == "date"
    assert found.values[1] - found.values[0] == 1.5
    assert "is read as dates; for categories set data.columns.a.type: string" in found.notes[0]
    numbers = [f"{number}" for number in range(12)]
    found = read(numbers)
    assert (found.kind, found.values.tolist()) == ("string", numbers)
    assert "holds numbers as text, such as '0'" in found.notes[0]
    assert "holds numbers" not in str(read([f"0{number}" for number in range(12)]).notes)
    assert read(pd.Categorical(["2024-05-01", "2024-05-02"])).kind == "string"


def test_bytes_are_text():
    """Bytes in UTF-8 are strings; others are of no use."""
    assert read([b"red", b"gr\xc3\xbcn"]).values.tolist() == ["red", "grün"]
    with pytest.raises(InputError, match="holds values of type bytes"):
        read([b"\xff\xfe\xff", b"\xff"])


@pytest.mark.parametrize("value", [{"x": 1}, 1j, pd.Interval(0, 1)])
def test_nested_values_are_refused_by_name(value):
    """With the two ways out."""
    with pytest.raises(InputError, match=r'column "a" holds values of type .*; name it in data\.drop, or return it as'):
        read([value, value])


@pytest.mark.parametrize("mark", [".", ","])
def test_numbers_with_decimals_as_text(mark):
    """Codes have no decimals: such text is read as numbers in a source with types too, with a note."""
    found = read([f"{number}{mark}25" for number in range(12)])
    assert (found.kind, found.values[3]) == ("numeric", 3.25)
    assert f"holds numbers as text, such as '0{mark}25', read as 0.25" in found.notes[0]
    assert _make_word("3,25", found.form) == "3,25"


def test_words_for_missing_among_typed_values():
    """A sheet's "n/a" among numbers or dates is missing, as in a CSV; other words are refused with the ways out."""
    assert np.array_equal(read([1.5, "n/a", "", 3]).values, [1.5, np.nan, np.nan, 3], equal_nan=True)
    day = datetime.datetime(2024, 5, 1)
    assert np.isfinite(read([day, "NA", day]).values).tolist() == [True, False, True]
    with pytest.raises(InputError, match=r'mixes types.*name words that mean "missing" in data.missing_values'):
        read([1.5, "-", 3])
    raw = convert_frame(pd.DataFrame({"a": [1.5, "-", 3]}), "d.xlsx", "data.source")
    found = read_column(raw.table["a"], "a", raw, DataSpec(source="d.xlsx", missing_values=["-"]))
    assert np.array_equal(found.values, [1.5, np.nan, 3], equal_nan=True)
