"""The newest window of each series, and the times of the rows that it predicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.data.raw import Origin, RawData
from pipelines.data.series.newest_windows import cut_newest_windows
from pipelines.spec.data_spec import DataSpec


def cut(table, **series):
    raw = RawData((Origin("d.csv", "data.source", "line", range(2, len(table) + 2)),), table=table, text=True)
    declared = {"time": "at", "length": 3, **series}
    return cut_newest_windows(raw, DataSpec.model_validate({"source": "d.csv", "target": "y", "series": declared}))


def table_of(times, **columns):
    return pd.DataFrame({"at": list(times), "y": [str(row) for row in range(len(times))], **columns})


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pd.date_range("2024-01-01", periods=6).strftime("%Y-%m-%d"), ("2024-01-07", "2024-01-08")),
        (pd.date_range("2024-01-31", periods=6, freq="ME").strftime("%Y-%m-%d"), ("2024-07-31", "2024-08-31")),
        ([f"2024-01-01T{hour:02}:00" for hour in range(6)], ("2024-01-01T06:00:00", "2024-01-01T07:00:00")),
        (["1", "3", "5", "7", "9", "11"], ("13", "15")),
    ],
)
def test_times_go_on_as_before(times, expected):
    """Days, months of their own lengths, hours, and plain numbers."""
    found = cut(table_of(times), horizon=2)
    assert found.times[0][: len(expected)] == expected
    assert found.array[..., 0].tolist() == [[3, 4, 5]]


def test_rows_after_the_target_are_known_ahead():
    """They hold no target; their times and known columns are used."""
    table = table_of([f"2024-03-{day:02}" for day in range(1, 8)], holiday=["0", "0", "0", "0", "0", "1", "0"])
    table.loc[5:, "y"] = ""
    found = cut(table, horizon=2, known=["holiday"])
    assert found.times == (("2024-03-06", "2024-03-07"),)
    assert found.array[0].tolist() == [[2, 0, 0], [3, 0, 1], [4, 0, 0]]


def test_short_series_are_left_out():
    table = table_of(["1", "2", "3", "1", "2"], shop=["a", "a", "a", "b", "b"])
    found = cut(table, by="shop")
    assert (found.names, len(found.array)) == (("a",), 1)
    assert "1 series that end at line 6 are left out" in found.notes[0]


def test_no_series_is_long_enough(problem):
    found = problem(lambda: cut(table_of(["1", "2"])))
    assert "each needs 3 rows up to the last one with the target" in found.message


def test_without_a_horizon_the_last_row_is_predicted():
    """Its target need not be there."""
    table = pd.DataFrame({"at": ["1", "2", "3", "4"], "x": ["5", "6", "7", "8"]})
    found = cut(table, horizon=0)
    assert (found.times, found.array[..., 0].tolist()) == ((("4",),), [[6, 7, 8]])
    assert np.isfinite(found.array).all()
