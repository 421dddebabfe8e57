"""Windows with dates, categories and the name of their series, as prepared data and as the exported model's inputs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.data.examples.model_tensors import make_tensors
from pipelines.data.prepare import prepare
from pipelines.data.prepared import list_channels
from pipelines.data.prepared_folder import load_part, load_raw, load_window_rows
from pipelines.data.stored_preprocessing import load_preprocessing
from pipelines.export.sidecar_files import describe_signature
from pipelines.spec.data_spec import DataSpec


def make_table(days=60, shops=("a", "b")):
    at = pd.date_range("2024-01-01", periods=days).strftime("%Y-%m-%d")
    weather = np.array(["sun", "rain", "fog"])[np.arange(days) % 3]
    return pd.concat(
        pd.DataFrame({"day": at, "shop": shop, "weather": weather, "sales": np.arange(days) + 100 * place})
        for place, shop in enumerate(shops)
    ).reset_index(drop=True)


def prepare_table(tmp_path, table, prefers, split=None, **series):
    table.to_csv(tmp_path / "d.csv", index=False)
    declared = {"time": "day", "by": "shop", "length": 4, "horizon": 2, **series}
    spec = DataSpec.model_validate({"source": "d.csv", "target": "sales", "series": declared, "split": split or {}})
    return prepare(spec, tmp_path, tmp_path / "data", prefers)


@pytest.mark.parametrize("prefers", ["series", "dense", "mixed"])
def test_the_exported_model_has_the_encoding(tmp_path, prefers):
    """What training sees of test rows is what the preprocessing model makes of their raw inputs."""
    summary = prepare_table(tmp_path, make_table(), prefers, known=["weather", "day"], by_input=True)
    assert [(each.name, each.shape, each.dtype) for each in summary.raw] == [
        ("series", (4, 3), "float32"),
        ("weather", (4,), "string"),
        ("weather_2", (4,), "string"),
        ("shop", (), "string"),
    ]
    raw = load_raw(tmp_path / "data", "test")
    found = load_preprocessing(tmp_path / "data")(make_tensors(raw))
    part = load_part(tmp_path / "data", "test")
    assert set(part.x) == set(found)
    for name, values in part.x.items():
        np.testing.assert_allclose(values, found[name], atol=1e-5)
    # Sales; sine and cosine of year and week, of the window and ahead; two channels of three categories.
    width = 1 + 2 * 4 + 2 * 3
    assert summary.features.series == (None if prefers == "dense" else (4, width))
    assert summary.features.dense == 2 + (4 * width if prefers == "dense" else 0)
    assert "one-hot of 3 categories" in summary.encodings["weather"]
    assert any("data.series.by_input" in note for note in summary.notes)


def test_channels_are_in_the_order_of_the_array(tmp_path):
    """Who feeds an exported file with arrays finds their order in its card and its signature."""
    summary = prepare_table(tmp_path, make_table(), "series", known=["day"])
    assert [each.name for each in list_channels(summary, "series")] == ["sales", "day", "day+2"]
    assert [each["channels"] for each in describe_signature(summary, {}, ())["inputs"] if "channels" in each] == [
        ["sales", "day", "day+2"]
    ]
    assert not list_channels(summary, "weather")


def test_many_series_are_embedded(tmp_path):
    """More than 50 names have a code each."""
    summary = prepare_table(tmp_path, make_table(30, [f"s{each}" for each in range(60)]), "series", by_input=True)
    assert (summary.features.codes, summary.features.dense) == ((("shop", 61),), 0)
    codes = np.asarray(load_part(tmp_path / "data", "train").x["codes"])
    assert (codes.shape[1], codes.min(), codes.max()) == (1, 1, 60)


def test_categories_of_training_windows_are_known(tmp_path):
    """A category and a series that only later rows have count as unknown, and set no column."""
    table = make_table(60, ("a",)).assign(weather=["sun", "rain"] * 25 + ["hail"] * 10)
    days = pd.date_range("2024-02-17", periods=13).strftime("%Y-%m-%d")
    late = make_table(13, ("late",)).assign(day=days, weather="hail")
    summary = prepare_table(tmp_path, pd.concat([table, late]), "series", by_input=True, horizon=1)
    assert "2 categories" in summary.encodings["weather"]
    test = load_part(tmp_path / "data", "test")
    assert np.asarray(test.x["series"])[..., 1:].min(axis=(1, 2)).max() == 0
    names = np.asarray(load_window_rows(tmp_path / "data", "test").names)
    assert (names == "late").any()
    assert set(np.asarray(test.x["dense"])[names == "late"].reshape(-1)) == {0.0}


def test_rare_categories_are_unknown(tmp_path):
    """Of more than 50 categories the commonest are kept, and a note says so."""
    table = make_table(200, ("a",))
    table["weather"] = [f"w{row % 70}" for row in range(200)]
    summary = prepare_table(tmp_path, table, "series")
    assert summary.features.series == (4, 1 + 50)
    assert any("70 categories: the 50 commonest" in note for note in summary.notes)


def test_windows_of_numbers_alone_are_as_before(tmp_path):
    """Without anything else in them they are one array, and the name of the series is no input."""
    summary = prepare_table(tmp_path, make_table().drop(columns="weather"), "series")
    assert [(each.name, each.shape) for each in summary.raw] == [("series", (4, 1))]
    rows = load_window_rows(tmp_path / "data", "validation")
    assert rows.numbers.shape == (summary.rows["validation"], 4, 1) and set(rows.names) == {"a", "b"}


def test_folds_share_their_inputs(tmp_path):
    """A category that only later folds have in training has its column in all."""
    table = make_table(60, ("a",)).assign(weather=["sun"] * 30 + ["rain", "fog"] * 15)
    summary = prepare_table(tmp_path, table, "series", split={"folds": 3, "test": 0.1})
    widths = {load_part(tmp_path / "data", "train", fold).x["series"].shape[2] for fold in range(summary.folds)}
    assert widths == {4}


@pytest.mark.parametrize(
    ("keys", "message"),
    [({}, 'column "weather" holds categories'), ({"by_input": True}, "without the name of their series")],
)
def test_user_models_get_numbers(tmp_path, problem, keys, message):
    """What an array of numbers cannot hold is refused with what to write instead."""
    assert message in problem(lambda: prepare_table(tmp_path, make_table(), "any", **keys)).message
