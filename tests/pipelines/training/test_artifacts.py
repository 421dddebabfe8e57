"""Artifacts of a trial, and the trial that is read back from them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

from pipelines.spec.schema import EarlyStoppingSpec, TrainingSpec
from pipelines.training.artifacts import read_trial, write_artifacts
from pipelines.training.messages import EpochDone, PastTrial, TrialJob, TrialResult
from pipelines.training.trial_folder import ARTIFACTS


def write(folder):
    """Write the artifacts of a trial of two epochs, the second without one of its metrics; return its job."""
    job = TrialJob(
        study="it",
        number=4,
        values={"units_1": 8, "learning_rate": 0.01},
        per_layer=frozenset({"units"}),
        seed=11,
        model="mlp",
        training=TrainingSpec(class_weight={"yes": 2.0}, early_stopping=EarlyStoppingSpec(patience=2)),
        data="data",
        folder=str(folder),
        metric="val_loss",
        direction="minimize",
        rungs=frozenset({1}),
    )
    curve = [{"loss": 1.0, "val_loss": 2.0, "auc": 0.5}, {"loss": 0.5, "val_loss": 1.5}]
    epochs = tuple(EpochDone(number, 2, 0, number, metrics) for number, metrics in enumerate(curve))
    result = TrialResult("complete", 1.5, 1, curve[1], epochs, 12, 1.0)
    write_artifacts(job, 1, {"units_1": 8, "momentum": None}, result, {"extra": 3})
    return job


def test_a_trial_is_read_back_as_it_was(tmp_path):
    """All but its rungs, and with the values that were drawn while it was built."""
    job = write(tmp_path)
    read, fold = read_trial(PastTrial(str(tmp_path), "data"))
    assert read == replace(job, rungs=frozenset(), values={**job.values, "extra": 3})
    assert fold == 1


def test_inactive_hyperparameters_are_left_out(tmp_path):
    """The configuration holds what the model requested and got."""
    write(tmp_path)
    assert json.loads((tmp_path / ARTIFACTS / "config.json").read_text())["requested"] == {"units_1": 8}


def test_a_metric_may_be_missing_in_an_epoch(tmp_path):
    """Its field in the history is empty; the curve is drawn."""
    write(tmp_path)
    with (tmp_path / ARTIFACTS / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["auc"] for row in rows] == ["0.5", ""]
    assert (tmp_path / ARTIFACTS / "learning_curve.png").stat().st_size > 0
