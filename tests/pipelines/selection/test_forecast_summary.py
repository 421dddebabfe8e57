"""Errors of forecasts by origin and by step, beside those of the naive forecast at the same origins."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.prepared_folder import WindowRows
from pipelines.data.window_facts import WindowChannel, WindowFacts
from pipelines.selection.forecast_summary import summarize_forecast


def make_windows(days=20, names=("a",), horizon=2, length=3, step=1.0, has_past=True):
    """Return windows of daily series that rise by 1 a day, each 100 above the one before, and their targets."""
    facts = WindowFacts(
        channels=(WindowChannel("y", "y", "numeric", input="series"),),
        time=WindowChannel("day", "day", "date"),
        by=WindowChannel("shop", "shop", "string"),
        length=length,
        horizon=horizon,
        targets=("y",),
        past=(0,) if has_past else (None,),
        step=step,
        is_even=True,
    )
    ends = np.arange(length - 1, days - horizon)
    numbers = np.concatenate([ends[:, None] + np.arange(1 - length, 1) + 100 * place for place in range(len(names))])
    times = np.concatenate([ends[:, None] + np.arange(1, horizon + 1) for _ in names]).astype(float)
    y = np.concatenate([ends[:, None] + np.arange(1, horizon + 1) + 100 * place for place in range(len(names))])
    series = tuple(np.repeat(names, len(ends)).tolist())
    return WindowRows(facts, numbers[..., None].astype(np.float32), times, series), y.astype(np.float32)


def test_origins_do_not_overlap():
    """The newest forecast and those before it, each with the errors of the model and of the last value."""
    windows, y = make_windows()
    found = summarize_forecast(windows, y, y + 0.5)
    assert [each["first"] for each in found["origins"]][-2:] == ["1970-01-17", "1970-01-19"]
    assert [each["last"] for each in found["origins"]][-1] == "1970-01-20"
    assert {(each["error"], each["naive"], each["forecasts"]) for each in found["origins"]} == {(0.5, 1.5, 1)}
    assert found["steps"] == [(1, 0.5, 1.0), (2, 0.5, 2.0)]
    assert found["naive"] == "the last value as forecast"


def test_the_naive_forecast_is_of_the_season():
    """A window that holds a week of days has the value of a week before beside it."""
    windows, y = make_windows(days=40, length=7)
    found = summarize_forecast(windows, y, y)
    assert found["naive"] == "the value of a week before as forecast"
    assert {each["naive"] for each in found["origins"]} == {7.0} and len(found["origins"]) == 12


def test_series_are_drawn_with_their_forecasts():
    """Each of a few series has its actual values, every time once, and a forecast for each origin."""
    windows, y = make_windows(names=("a", "b"))
    found = summarize_forecast(windows, y, y + 1)
    assert [each["name"] for each in found["series"]] == ["a", "b"]
    second = found["series"][1]
    assert second["actual"][0] == (3.0, 103.0) and second["actual"][-1] == (19.0, 119.0)
    assert second["forecasts"][-1] == [(18.0, 119.0), (19.0, 120.0)]
    assert {each["forecasts"] for each in found["origins"]} == {2}


def test_gaps_have_the_last_value():
    """A gap in the past is filled as far as there is a value before it; a window without one has no naive error."""
    windows, y = make_windows(days=7, horizon=1)
    windows.numbers[0, :] = np.nan
    windows.numbers[1, -1] = np.nan
    found = summarize_forecast(windows, y, y)
    assert [each["naive"] for each in found["origins"]][:2] == [None, 2.0]


@pytest.mark.parametrize("keys", [{"has_past": False}, {"horizon": 2, "predicted": 3}])
def test_what_is_no_forecast_has_no_summary(keys):
    """A target without a past in the window, and a user model's outputs of another form."""
    width = keys.pop("predicted", None)
    windows, y = make_windows(**keys)
    assert summarize_forecast(windows, y, y if width is None else np.zeros((len(y), width))) is None
