"""Files with the evaluation of a model, and what others read of them."""

from __future__ import annotations

from dataclasses import asdict

from report_studies import make_forecast_evaluation

from pipelines.selection.evaluation_files import (
    describe_forecast,
    list_evaluation_metrics,
    read_evaluation,
    write_evaluation,
)
from pipelines.training.messages import PastTrial


def test_forecasts_are_read_as_they_were_written(tmp_path):
    """The file gives the evaluation again, its errors as metrics for MLflow, and a sentence for people."""
    written = make_forecast_evaluation(3)
    parts = {name: asdict(part) for name, part in written.parts.items()}
    write_evaluation(tmp_path, 3, (), parts)
    trial = PastTrial(str(tmp_path), str(tmp_path))
    found = read_evaluation(trial)
    assert found is not None and found.parts["test"].forecast == written.parts["test"].forecast
    metrics = list_evaluation_metrics(found)
    assert (metrics["test_rolling_origin_mae"], metrics["test_rolling_origin_naive_mae"]) == (3.5, 3.0)
    assert (metrics["test_rolling_origins_better"], metrics["test_rolling_origins"]) == (1.0, 3.0)
    assert describe_forecast(trial).startswith("on test rows mean absolute error 3.5 over 3 origins")


def test_a_model_without_an_evaluation_has_no_sentence(tmp_path):
    assert describe_forecast(PastTrial(str(tmp_path), str(tmp_path))) == ""
