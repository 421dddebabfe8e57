"""Trials whose models are measured as files, trained for real."""

import pytest
from fake_channel import FakeChannel

from pipelines.export import deployment_metrics
from pipelines.export.deployment_metrics import train_and_measure
from pipelines.spec.schema import TrainingSpec
from pipelines.study.objective import Goal
from pipelines.training.messages import TrialJob
from pipelines.training.trial_folder import read_result


@pytest.fixture
def job(mixed_data, tmp_path):
    values = {"units": 4, "depth": 1, "batch_size": 16, "epochs": 1}
    return TrialJob(
        "it", 0, values, frozenset(), 3, "mlp", TrainingSpec(), str(mixed_data), str(tmp_path / "trial"), "val_loss",
        "minimize", frozenset(),
    )  # fmt: skip


def test_a_model_is_measured_as_its_files(job):
    """Size and latency are of the format that is named; the result holds them."""
    goals = (
        Goal("size_mb", "minimize", "keras"),
        Goal("size_mb", "minimize", "litert"),
        Goal("latency_ms", "minimize", "litert"),
    )
    result = train_and_measure((job, goals), FakeChannel()).result
    assert set(result.measures) == {"size_mb_keras", "size_mb_litert", "latency_ms_litert"}
    assert 0.001 < result.measures["size_mb_litert"] < 1
    assert result.measures["size_mb_litert"] != result.measures["size_mb_keras"]
    assert 0 < result.measures["latency_ms_litert"] < 1000


def test_a_trial_that_could_not_be_measured_is_not_done(job, tmp_path, monkeypatch):
    """Its result is written after it was measured, so an attempt that was cut off there is made again."""

    def cut_off(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(deployment_metrics, "measure_deployment", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train_and_measure((job, (Goal("size_mb", "minimize", "keras"),)), FakeChannel())
    assert read_result(tmp_path / "trial") is None
