"""Newest windows of a table of series, the times of what they predict, and tables that are refused."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from pipelines.data.window_facts import WindowChannel, WindowFacts
from tracking.mlflow.cell_values import CellForm
from tracking.mlflow.model_loader import KerasOnRawColumns
from tracking.mlflow.series_values import cut_newest_windows


def facts_of(*channels, by=False, length=3, horizon=1, step=1.0, kind="date", form=None, **more):
    """Return facts of windows with the target `y` and further channels, each (column, kind, ahead)."""
    known = [WindowChannel("y", "y", "numeric", input="series")] if horizon else []
    for name, its_kind, ahead in channels:
        taken = f"{name}_{ahead}" if its_kind == "string" else "series"
        known.append(WindowChannel(f"{name}+{ahead}" if ahead else name, name, its_kind, ahead=ahead, input=taken))
    return asdict(
        WindowFacts(
            channels=tuple(known),
            time=WindowChannel("at", "at", kind, form or CellForm()),
            by=WindowChannel("shop", "shop", "string", input="shop") if by else None,
            length=length,
            horizon=horizon,
            targets=("y",),
            past=(0,) if horizon else (None,),
            step=step,
            **{"is_even": True, **more},
        )
    )


def cut(table, facts):
    return cut_newest_windows(table, facts, KerasOnRawColumns(None, [], [])._read_cells)


def table_of(times, **columns):
    return pd.DataFrame({"at": list(times), "y": [str(row) for row in range(len(times))], **columns})


@pytest.mark.parametrize(
    ("times", "step", "expected"),
    [
        (pd.date_range("2024-01-01", periods=6).strftime("%Y-%m-%d"), 1, ["2024-01-07", "2024-01-08"]),
        (pd.date_range("2024-01-31", periods=6, freq="ME").strftime("%Y-%m-%d"), 31, ["2024-07-31", "2024-08-31"]),
        ([f"2024-01-01T{hour:02}:00" for hour in range(6)], 1 / 24, ["2024-01-01T06:00:00", "2024-01-01T07:00:00"]),
        ([f"1492-{month:02}-01" for month in range(5, 11)], 30, ["1492-11-01", "1492-12-01"]),
        ([f"2999-12-{day}" for day in range(24, 30)], 1, ["2999-12-30", "2999-12-31"]),
    ],
)
def test_times_go_on_as_before(times, step, expected):
    """Days, months of their own lengths, and hours, in any century."""
    found = cut(table_of(times), facts_of(horizon=2, step=step))
    assert found.rows["at"].tolist() == expected
    assert found.inputs["series"][..., 0].tolist() == [[3, 4, 5]]


def test_numbers_go_on_as_before():
    """A time of plain numbers stays a number."""
    found = cut(table_of([1, 3, 5, 7, 9]), facts_of(horizon=2, step=2.0, kind="numeric"))
    assert found.rows["at"].tolist() == [11, 13]


def test_times_have_the_type_and_form_of_the_table():
    """Timestamps stay timestamps, with their zone over the change of the clock; text keeps its form."""
    zoned = pd.date_range("2024-10-26", periods=5, freq="h", tz="Europe/Oslo") + pd.Timedelta(hours=21)
    found = cut(table_of(zoned), facts_of(horizon=3, step=1 / 24)).rows["at"]
    assert found.dtype == zoned.dtype
    assert [str(each) for each in found] == [
        "2024-10-27 02:00:00+02:00",
        "2024-10-27 02:00:00+01:00",
        "2024-10-27 03:00:00+01:00",
    ]
    german = facts_of(form=CellForm(date_format="%d.%m.%Y"))
    assert cut(table_of(["01.05.2024", "02.05.2024", "03.05.2024"]), german).rows["at"].tolist() == ["04.05.2024"]


def test_rows_may_have_any_order():
    """The order of the rows and of the columns says nothing."""
    table = table_of(["2024-01-03", "2024-01-01", "2024-01-04", "2024-01-02"], shop="a")
    found = cut(table[["y", "shop", "at"]], facts_of(by=True, is_by_input=True))
    assert found.inputs["series"][0, :, 0].tolist() == [3, 0, 2]
    assert (found.inputs["shop"].tolist(), found.rows.to_numpy().tolist()) == (["a"], [["a", "2024-01-05"]])


def test_rows_after_the_target_are_known_ahead():
    """They hold no target; their times, numbers and categories are used."""
    days = [f"2024-03-{day:02}" for day in range(1, 8)]
    table = table_of(days, holiday=[0, 0, 0, 0, 0, 1, 0], weather=["sun", "fog", None, "sun", "rain", "hail", "x"])
    table.loc[5:, "y"] = ""
    channels = [
        ("holiday", "numeric", 0),
        ("weather", "string", 0),
        ("holiday", "numeric", 2),
        ("weather", "string", 2),
    ]
    found = cut(table, facts_of(*channels, horizon=2))
    assert found.rows["at"].tolist() == ["2024-03-06", "2024-03-07"]
    assert found.inputs["series"][0].tolist() == [[2, 0, 0], [3, 0, 1], [4, 0, 0]]
    assert found.inputs["weather_0"].tolist() == [["", "sun", "rain"]]
    assert found.inputs["weather_2"].tolist() == [["rain", "hail", "x"]]


def test_a_calendar_ahead_needs_no_rows():
    """Where the time alone is known ahead it goes on in its steps."""
    found = cut(
        table_of(["2024-03-01", "2024-03-02", "2024-03-03"]), facts_of(("at", "date", 0), ("at", "date", 2), horizon=2)
    )
    assert found.inputs["series"][0].tolist() == [[0, 19783, 19785], [1, 19784, 19786], [2, 19785, 19787]]


def test_without_a_horizon_the_last_row_is_predicted():
    """Its target need not be there."""
    table = pd.DataFrame({"at": [1, 2, 3, 4], "x": [5, 6, 7, 8]})
    found = cut(table, facts_of(("x", "numeric", 0), horizon=0, kind="numeric"))
    assert (found.rows["at"].tolist(), found.inputs["series"][..., 0].tolist()) == ([4], [[6, 7, 8]])


def test_short_series_are_left_out():
    """Others are forecast, and a note says what the short ones have and need."""
    table = table_of([1, 2, 3, 1, 2], shop=["a", "a", "a", "b", "b"])
    found = cut(table, facts_of(by=True, kind="numeric"))
    assert (found.rows["shop"].tolist(), len(found.inputs["series"])) == (["a"], 1)
    assert '1 series are left out, as each needs 3 rows up to the last one with the target: "b" has 2' in found.notes[0]


DAYS = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-05", "2024-01-06"]


@pytest.mark.parametrize(
    ("table", "facts", "message"),
    [
        (table_of([1, 2]), facts_of(kind="numeric"), "needs 3 rows up to the last one with the target, there are 2"),
        (table_of([]), facts_of(kind="numeric"), "there are none"),
        (table_of(DAYS), facts_of(), "rows are missing between 2024-01-03 and 2024-01-05; add them"),
        (table_of(DAYS, shop="b"), facts_of(by=True), 'series "b": rows are missing'),
        (table_of([1, 1.25, 1.5]), facts_of(kind="numeric"), "nearer in time than in training, as 1 and 1.25"),
        (table_of([2, 1, 2]), facts_of(kind="numeric"), "one time twice, in rows 0 and 2"),
        (table_of([2, None, 3]), facts_of(kind="numeric"), 'column "at" has no time in row 1'),
        (table_of(["2024-01-01", "soon"]), facts_of(), "expected a date such as 2024-05-01, got 'soon' in row 1"),
        (table_of([1, 2, 3]).drop(columns="y"), facts_of(kind="numeric"), "these columns are missing: y"),
        (table_of([1, 2, 3], x=1), facts_of(("x", "numeric", 1), kind="numeric"), "and 1 rows after it with x"),
    ],
)
def test_tables_that_are_refused(table, facts, message):
    """Too few rows, gaps, times that are missing, unreadable or there twice, and columns that are absent."""
    with pytest.raises(ValueError, match=message):
        cut(table, facts)


def test_gaps_of_uneven_series_are_steps():
    """Where training's steps differed all the time, a row is a row."""
    assert len(cut(table_of(DAYS), facts_of(is_even=False)).rows) == 1


def test_numbers_beyond_float32_are_gaps():
    found = cut(table_of([1, 2, 3]).assign(y=["1", "1e300", "2"]), facts_of(kind="numeric"))
    assert np.isnan(found.inputs["series"][0, 1, 0])
