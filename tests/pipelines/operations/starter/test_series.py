"""Series in a table: what is guessed, what is stated, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.data.reading.sources import load
from pipelines.operations.starter.series import (
    NO_REQUEST,
    SeriesRequest,
    describe_series,
    find_series,
    list_other_columns,
)
from pipelines.spec.data_spec import DataSpec
from search_spaces.errors import InputError, Problem


@pytest.fixture
def find(tmp_path):
    """Return a function that finds the series of a table whose target is y."""

    def run(table, request=NO_REQUEST, **requested):
        pd.DataFrame(table).to_csv(tmp_path / "d.csv", index=False)
        spec = DataSpec(source="d.csv", target="y")
        return find_series(
            load(spec, tmp_path, "mixed"), spec, ["y"], SeriesRequest(**requested) if requested else request
        )

    return run


def days(count=100, frequency="D"):
    return pd.date_range("2024-01-01", periods=count, freq=frequency).strftime("%Y-%m-%d %H:%M")


def test_even_steps_are_a_series(find):
    """Step, horizon and length follow from the dates; the reason states what is a guess."""
    found = find({"x": range(100), "when": days(), "y": range(100)})
    assert (found.time, found.by, found.step, found.horizon, found.length) == ("when", None, "day", 7, 20)
    assert found.reason == "a guess: when holds the times; 7 rows ahead, by the usual step of a day"
    hourly = find({"when": days(500, "h"), "y": range(500)})
    assert (hourly.step, hourly.horizon, hourly.length) == ("hour", 24, 48)
    assert find({"when": days(60, "MS"), "y": range(60)}).step == "month"
    assert find({"when": days(200, "B"), "y": range(200)}).step == "day"


def test_a_column_distinguishes_series(find):
    """It is the one in each of whose values a time stands once; words come before numbers."""
    table = {"when": [*days(50)] * 2, "amount": range(100), "shop": ["a"] * 50 + ["b"] * 50, "y": range(100)}
    found = find(table)
    assert (found.by, found.length) == ("shop", 10)
    assert "shop distinguishes series" in found.reason
    assert found.to_key() == {"time": "when", "by": "shop", "length": 10, "horizon": 5}


@pytest.mark.parametrize(
    "table",
    [
        {"x": range(100), "y": range(100)},
        {"when": np.random.default_rng(1).permutation(days(300))[:100], "y": range(100)},
        {"when": days(20), "y": range(20)},
        {"when": [*days(50)] * 2, "y": range(100)},
        {"when": [*days(99), ""], "y": range(100)},
    ],
    ids=["no date", "uneven", "few rows", "twice", "a gap"],
)
def test_other_tables_look_like_none(find, table):
    """Dates at any time, few of them, or several rows of a time are no series."""
    assert find(table) is None


def test_what_is_stated_is_taken(find):
    """Numbers are times where the column is named, and uneven steps count as rows."""
    table = {"t": [*range(50), *range(60, 110)], "shop": [1, 2] * 50, "y": range(100)}
    found = find(table, time="t", by="shop", horizon=3)
    assert (found.to_key(), found.reason) == ({"time": "t", "by": "shop", "length": 10, "horizon": 3}, "")
    assert find({"when": days(), "y": range(100)}, horizon=2).time == "when"


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        ({"time": "wen"}, '--time: there is no column "wen"; did you mean "when"'),
        ({"by": "shp"}, '--by: there is no column "shp"; did you mean "shop"'),
        ({"time": "when"}, "--by names the column that distinguishes series"),
        ({"time": "shop"}, "has no time in each row"),
        ({"time": "when", "horizon": 0}, "--horizon: expected a number of rows ahead"),
        ({"horizon": 3}, "no column holds times; name it by --time"),
    ],
)
def test_a_request_that_cannot_hold_is_refused(find, requested, message):
    """The option is named, and what to write."""
    with pytest.raises(InputError) as refused:
        find({"when": [*days(2)] * 50, "shop": ["a", "a", "b", "b"] * 25, "y": range(100)}, **requested)
    assert message in str(refused.value)


def test_the_note_has_the_command(find):
    """It can be copied, also where a name has a space."""
    found = find({"the day": days(), "y": range(100)})
    note = describe_series(found, "d.csv", "y")
    assert "kerastudy init d.csv --target y --time 'the day' --horizon 7" in note


def test_columns_that_windows_cannot_hold_are_found():
    """Only errors of windows name some to leave out, and none does where another error stands beside them."""
    errors = [
        Problem(f'windows hold numbers, but column "{name}" holds text; name it in data.drop', "data.series")
        for name in ('a "b"', "c")
    ]
    assert list_other_columns({"series": {}}, InputError(errors)) == ['a "b"', "c"]
    assert list_other_columns({}, InputError(errors)) == []
    assert list_other_columns({"series": {}}, InputError([*errors, Problem("no such column", "data.series.by")])) == []
