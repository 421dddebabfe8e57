"""Naive forecasts among the baselines, scored by the study's objective on its rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fake_channel import FakeChannel

from pipelines.baselines.jobs import BaselinesJob
from pipelines.baselines.score import score_baselines
from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_part, load_raw
from pipelines.spec.data_spec import DataSpec
from pipelines.spec.schema import TrainingSpec


def score(tmp_path, prefers="series", metric="val_mean_absolute_error", split=None, **series):
    """Prepare two daily series with a week's pattern, and score their baselines."""
    random, days = np.random.default_rng(3), np.arange(120)
    at = pd.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d")
    table = pd.concat(
        pd.DataFrame({"day": at, "shop": shop, "sales": 50 * (days % 7) + random.normal(0, 1, 120)})
        for shop in ("a", "b")
    )
    table.to_csv(tmp_path / "d.csv", index=False)
    declared = {"time": "day", "by": "shop", "length": 8, "horizon": 3, **series}
    data = {"source": "d.csv", "target": "sales", "series": declared, "split": split or {}}
    prepare(DataSpec.model_validate(data), tmp_path, tmp_path / "data", prefers)
    job = BaselinesJob(str(tmp_path / "data"), str(tmp_path), TrainingSpec(), metric, "minimize")
    return score_baselines(job, FakeChannel())


@pytest.mark.parametrize("prefers", ["series", "dense"])
def test_forecasts_are_baselines(tmp_path, prefers):
    """They stand behind the constant, with the objective on validation and test rows."""
    found = score(tmp_path, prefers, by_input=prefers == "dense")
    assert [each.name for each in found.found] == ["median", "last_value", "seasonal_naive", "linear"]
    for part, value in (("validation", found.found[2].value), ("test", found.found[2].test)):
        past = load_raw(tmp_path / "data", part)["series"][:, [1, 2, 3], 0]
        expected = np.abs(past - load_part(tmp_path / "data", part).y).mean()
        assert value == pytest.approx(expected, rel=1e-5)
    assert "no better than the value of a week before as forecast" in found.explain_unbeaten(1e3)
    assert found.list_metrics()["baseline_seasonal_naive_val_mean_absolute_error"] == found.found[2].value


def test_folds_have_the_mean_of_their_scores(tmp_path):
    """Rolling origins: each fold is scored on its own validation rows."""
    found = score(tmp_path, split={"folds": 3, "test": 0.1})
    errors = []
    for fold in range(3):
        past = load_raw(tmp_path / "data", "validation", fold)["series"][:, -1:, 0]
        errors.append(np.abs(past - load_part(tmp_path / "data", "validation", fold).y).mean())
    assert found.found[1].value == pytest.approx(np.mean(errors), rel=1e-5)


def test_without_a_horizon_there_is_no_forecast(tmp_path):
    """The value at a window's last row has no past in the window."""
    table = pd.DataFrame({"t": range(80), "x": np.random.default_rng(0).normal(size=80)})
    table.assign(y=table.x * 2).to_csv(tmp_path / "d.csv", index=False)
    data = {"source": "d.csv", "target": "y", "series": {"time": "t", "length": 3, "horizon": 0}}
    prepare(DataSpec.model_validate(data), tmp_path, tmp_path / "data", "series")
    job = BaselinesJob(str(tmp_path / "data"), str(tmp_path), TrainingSpec(), "val_mean_absolute_error", "minimize")
    assert [each.name for each in score_baselines(job, FakeChannel()).found] == ["median", "linear"]
