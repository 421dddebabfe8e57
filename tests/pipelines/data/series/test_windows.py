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
from pipelines.data.stored_preprocessing import load_preprocessing
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
@settings(max_examples=40, deadline=None)
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
        (make_table(), spec(), "data.drop", 'column "shop" is string'),
        (make_table(8, ("a", "b")), spec(drop=["shop"]), "data.series.by", "at line 2 and line 10"),
        (make_table(), spec(drop=["shop"], length=9), "data.series", "the longest series has 8 rows"),
        (make_table(day="soon"), spec(drop=["shop"]), "data.series.time", "expected dates or numbers"),
        (make_table(), spec(target="sale"), "data.target", "did you mean"),
        (make_table(), spec(drop=["shop"], known=["sales"]), "data.series.known", "is the target"),
    ],
)
def test_tables_that_make_no_windows(problem, table, declared, path, expected):
    found = problem(cut_windows, raw_of(table), declared)
    assert expected in found.message
    assert found.path in (path, "data.series")


def test_windows_are_prepared_and_divided_in_time(tmp_path):
    """No target of a training window is one of a validation window, and channels have their own scales."""
    table = make_table(60, ("a", "b")).assign(price=[str(row % 7 * 1000) for row in range(120)])
    table.to_csv(tmp_path / "sales.csv", index=False)
    declared = spec(by="shop", horizon=3, split={"validation": 0.2, "test": 0.2})
    summary = prepare(declared, tmp_path, tmp_path / "prepared", "series")
    assert (summary.features.series, summary.task.kind) == ((3, 2), "multi_output_regression")
    assert summary.task.targets == ("sales+1", "sales+2", "sales+3")
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
