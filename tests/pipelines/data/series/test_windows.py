"""Windows of a table of time series: their values, targets and places, and their division in time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_part, load_raw
from pipelines.data.raw import Origin, RawData
from pipelines.data.series.windows import cut_windows
from pipelines.data.splits.split_rows import split_rows
from pipelines.data.stored_preprocessing import load_preprocessing
from pipelines.data.targets.labels import read_labels
from pipelines.spec.data_spec import DataSpec


def spec(target="sales", split=None, drop=(), **series) -> DataSpec:
    declared = {"time": "day", "length": 3, **series}
    return DataSpec.model_validate(
        {"source": "sales.csv", "target": target, "series": declared, "split": split or {}, "drop": list(drop)}
    )


def make_table(rows=8, shops=("a",), **columns):
    """Return daily rows of shops; sales are 100 times the shop's number plus the day's."""
    days = pd.date_range("2024-01-01", periods=rows).strftime("%Y-%m-%d")
    table = pd.concat(
        pd.DataFrame({"shop": shop, "day": days, "sales": [str(100 * number + row) for row in range(rows)]})
        for number, shop in enumerate(shops)
    )
    return table.assign(**columns).reset_index(drop=True)


def raw_of(table) -> RawData:
    return RawData((Origin("sales.csv", "data.source", "line", range(2, len(table) + 2)),), table=table, text=True)


def test_windows_and_their_targets():
    """A window holds the last rows, the target is what follows, and its place is its last row."""
    raw, left = cut_windows(raw_of(make_table().drop(columns="shop")), spec(horizon=2))
    assert raw.array[..., 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert raw.labels.to_dict("list") == {"sales+1": [3, 4, 5, 6], "sales+2": [4, 5, 6, 7]}
    assert raw.format_place(0) == "window that ends at line 4"
    assert (left.task, left.split.gap, left.target) == ("multi_output_regression", 1, None)
    assert any("4 windows of 3 rows" in note for note in raw.notes)


@given(
    order=st.permutations(range(14)),
    length=st.integers(1, 4),
    horizon=st.integers(0, 2),
    stride=st.integers(1, 3),
)
@settings(max_examples=40)
def test_no_window_crosses_series(order, length, horizon, stride):
    """Whatever the order of the rows, a window is of one series and its rows follow each other."""
    table = make_table(7, ("a", "b")).assign(price=lambda t: t["sales"].astype(float) * 2).iloc[list(order)]
    table = table.reset_index(drop=True)
    declared = spec(by="shop", length=length, horizon=horizon, stride=stride)
    raw, _ = cut_windows(raw_of(table), declared)
    price = raw.array[..., -1]
    assert (np.diff(price, axis=1) == 2).all()
    newest = sorted(price[:, -1].tolist())
    assert {newest[-1], *newest} >= {2.0 * (6 - horizon), 2.0 * (106 - horizon)}
    first = raw.labels.iloc[:, 0].to_numpy(dtype=float)
    assert (first == price[:, -1] / 2 + min(horizon, 1)).all()


def test_known_columns_are_seen_ahead():
    """Their second channel ends with the values of the forecast's rows."""
    table = make_table(holiday=["0", "0", "0", "1", "0", "1", "0", "0"]).drop(columns="shop")
    raw, _ = cut_windows(raw_of(table), spec(horizon=2, known=["holiday"]))
    assert raw.array.shape == (4, 3, 3)
    assert raw.array[0].tolist() == [[0, 0, 0], [1, 0, 1], [2, 0, 0]]


def test_windows_without_a_target_are_left_out():
    """A gap in the target stays a gap in the window, and is none in its target."""
    table = make_table(10).drop(columns="shop")
    table.loc[6, "sales"] = ""
    raw, _ = cut_windows(raw_of(table), spec())
    assert len(raw.array) == 6 and np.isnan(raw.array[-1]).sum() == 1
    assert any("1 windows are left out" in note for note in raw.notes)


@pytest.mark.parametrize(
    ("table", "declared", "path", "expected"),
    [
        (
            make_table(40, note=[f"it was a fine day, and {row} came." for row in range(40)]),
            spec(drop=["shop"]),
            "data.drop",
            'column "note" holds',
        ),
        (make_table(8, ("a", "b")), spec(drop=["shop"]), "data.series.by", "at line 2 and line 10"),
        (make_table(), spec(drop=["shop"], length=9), "data.series", "the longest series has 8 rows"),
        (make_table(day="soon"), spec(drop=["shop"]), "data.series.time", "expected dates or numbers"),
        (make_table(), spec(target="sale"), "data.target", "did you mean"),
        (make_table(), spec(drop=["shop"], known=["sales"]), "data.series.known", "is the target"),
        (make_table(), spec(by="shop", known=["shop"]), "data.series.by", "has another part"),
        (
            make_table(day=[str(row) for row in range(8)]),
            spec(drop=["shop"], known=["day"]),
            "x",
            "have no place in a year",
        ),
    ],
)
def test_tables_that_make_no_windows(problem, table, declared, path, expected):
    found = problem(cut_windows, raw_of(table), declared)
    assert expected in found.message
    assert found.path in (path, "data.series", "data.series.known")


def test_windows_are_prepared_and_divided_in_time(tmp_path):
    """No target of a training window is one of a validation window, and channels have their own scales."""
    table = make_table(60, ("a", "b")).assign(price=[str(row % 7 * 1000) for row in range(120)])
    table.to_csv(tmp_path / "sales.csv", index=False)
    declared = spec(by="shop", horizon=3, split={"validation": 0.2, "test": 0.2})
    summary = prepare(declared, tmp_path, tmp_path / "prepared", "series")
    assert (summary.features.series, summary.task.kind) == ((3, 2), "multi_output_regression")
    assert summary.task.targets == ("sales+1", "sales+2", "sales+3")
    assert summary.windows is not None and summary.windows.past == (0,)
    last = {part: load_part(tmp_path / "prepared", part).y % 100 for part in ("train", "validation", "test")}
    assert last["train"].max() < last["validation"].min() and last["validation"].max() < last["test"].min()
    train = load_part(tmp_path / "prepared", "train").x["series"]
    np.testing.assert_allclose(train.mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(axis=(0, 1)), 1, atol=1e-4)
    raw = load_raw(tmp_path / "prepared", "test")
    found = load_preprocessing(tmp_path / "prepared")(raw)["series"]
    np.testing.assert_allclose(found, load_part(tmp_path / "prepared", "test").x["series"], atol=1e-5)


@pytest.mark.parametrize(("prefers", "width"), [("dense", 6), ("any", None)])
def test_windows_for_other_models(tmp_path, prefers, width):
    """A dense family takes the window as a row of features; a user model takes it unchanged."""
    make_table(40).assign(price="2").drop(columns="shop").to_csv(tmp_path / "sales.csv", index=False)
    summary = prepare(spec(), tmp_path, tmp_path / "prepared", prefers)
    if width is not None:
        assert (summary.features.dense, summary.task.kind) == (width, "regression")
    else:
        assert summary.given is not None and summary.given.x.shape == (3, 2)


def test_categories_and_dates_are_channels():
    """Categories stand apart, dates are days, and a category known ahead has a channel for the forecast's rows."""
    weather = ["sun", "rain", "", "sun", "snow", "sun", "rain", "rain"]
    table = make_table(weather=weather, opened=["true", "false"] * 4, restocked="2023-12-31").drop(columns="shop")
    raw, _ = cut_windows(raw_of(table), spec(horizon=2, known=["weather"]))
    assert [(each.name, each.kind) for each in raw.windows.facts.channels] == [
        ("sales", "numeric"),
        ("weather", "string"),
        ("opened", "boolean"),
        ("restocked", "date"),
        ("weather+2", "string"),
    ]
    assert raw.array[0].tolist() == [[0, 1, 19722], [1, 0, 19722], [2, 1, 19722]]
    assert raw.windows.words["weather"][0].tolist() == ["sun", "rain", ""]
    assert raw.windows.words["weather+2"][0].tolist() == ["", "sun", "snow"]
    assert any('column "weather" has no value in 1 rows' in note for note in raw.notes)


def test_the_time_is_known_ahead():
    """With its column among the known ones, windows hold the dates of their own rows and of the forecast's."""
    raw, _ = cut_windows(raw_of(make_table().drop(columns="shop")), spec(horizon=2, known=["day"]))
    assert raw.array[0].tolist() == [[0, 19723, 19725], [1, 19724, 19726], [2, 19725, 19727]]


def test_the_past_of_a_class_is_a_channel():
    """A target of words ahead of its window has its past in the window."""
    raw, left = cut_windows(raw_of(make_table(state=["on", "off"] * 4).drop(columns="shop")), spec("state"))
    assert raw.windows.words["state"][0].tolist() == ["on", "off", "on"]
    assert (raw.labels["state"].tolist()[:2], left.task) == (["off", "on"], "auto")


def test_no_target_of_training_lies_after_validation_begins():
    """Series of other steps: a monthly one beside a daily one reaches months ahead with the same horizon."""
    monthly = pd.DataFrame(
        {"shop": "m", "day": pd.date_range("2020-01-01", periods=60, freq="MS").strftime("%Y-%m-%d")}
    )
    monthly["sales"] = [str(row) for row in range(60)]
    table = pd.concat([make_table(90), monthly], ignore_index=True)
    raw, left = cut_windows(raw_of(table), spec(by="shop", horizon=4))
    labels = read_labels(raw.labels, raw, left)
    for folds in (None, 3):
        split = {"folds": folds, "test": 0.2} if folds else {"validation": 0.3, "test": 0.2}
        divided = left.model_copy(update={"split": left.split.model_copy(update=split)})
        found = split_rows(raw, labels, divided)
        for fold in range(found.folds):
            rows = {part: found.select_rows(part, fold) for part in ("train", "validation", "test")}
            times = raw.windows.times
            for earlier, later in (("train", "validation"), ("train", "test"), ("validation", "test")):
                if earlier == "train" or not folds:
                    assert times[rows[earlier]].max() < times[rows[later]].min() + 1e-9, (earlier, later, fold)


def test_short_series_are_named():
    """A series that gives no window is named with its rows."""
    short = make_table(4).assign(shop="b")
    raw, _ = cut_windows(raw_of(pd.concat([make_table(9), short], ignore_index=True)), spec(by="shop", horizon=2))
    assert any("1 series give no window" in note and '"b" (4 rows)' in note for note in raw.notes)


def test_missing_times_are_noted():
    """Some long steps are noted with their place; steps that differ all the time are noted as such."""
    table = make_table(60).drop(columns="shop")
    raw, _ = cut_windows(raw_of(table.drop(index=[20, 21]).reset_index(drop=True)), spec())
    assert any("1 of 57 steps" in note and "2024-01-20 and 2024-01-23" in note for note in raw.notes)
    assert raw.windows.facts.is_even
    raw, _ = cut_windows(raw_of(table[table.index % 3 != 2].reset_index(drop=True)), spec(length=8))
    assert any('steps of "day" differ' in note for note in raw.notes) and not raw.windows.facts.is_even
    # So many rows are no week then.
    assert raw.windows.facts.season is None


def test_an_hour_that_comes_twice_is_refused(problem):
    """In autumn a local clock has an hour twice: the message says what to write."""
    hours = pd.date_range("2024-10-27", periods=400, freq="h").strftime("%Y-%m-%d %H:%M").tolist()
    table = pd.DataFrame({"day": [*hours[:3], hours[2], *hours[3:]], "sales": range(401)}).astype(str)
    found = problem(cut_windows, raw_of(table), spec())
    assert "the same" in found.message and "write the times in UTC" in found.message


def test_months_are_even():
    """Months of 28 to 31 days are one step."""
    table = (
        make_table(40)
        .drop(columns="shop")
        .assign(day=pd.date_range("2020-01-31", periods=40, freq="ME").strftime("%Y-%m-%d"))
    )
    raw, _ = cut_windows(raw_of(table), spec(length=12))
    assert raw.windows.facts.is_even and raw.windows.facts.season == (12, "year")
    assert not any("steps of" in note for note in raw.notes)
