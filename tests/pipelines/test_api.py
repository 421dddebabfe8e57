"""What `run_study` returns, where the tests of the command do not reach."""

from __future__ import annotations

import numpy as np
from fake_channel import FakeChannel
from weights_alone import leave_weights_alone

from pipelines.api import StudyResult
from pipelines.data.prepared_folder import load_raw
from pipelines.models.raw_predict import predict_raw
from pipelines.queries.views import BestTrial, TrialRow
from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import TrialJob
from pipelines.training.trial import train_trial
from pipelines.workspace.home import Home


def test_the_best_model_of_a_fleet_is_loaded(tmp_path, mixed_data):
    """A paused study's best trial may have left its weights alone: its model is written when it is loaded."""
    home = Home(tmp_path, "")
    home.locate_study("it").mkdir(parents=True)
    home.locate_data("it").symlink_to(mixed_data)
    values = {"units": 4, "depth": 1, "batch_size": 16, "epochs": 1}
    train_trial(
        TrialJob(
            "it", 2, values, frozenset(), 3, "mlp", TrainingSpec(), str(mixed_data), str(home.locate_trial("it", 2)),
            "val_loss", "minimize", frozenset(),
        ),
        FakeChannel(),
    )  # fmt: skip
    before = leave_weights_alone(home.locate_trial("it", 2))
    best = TrialRow(2, "complete", (0.5,), values, 1, 1.0, "", {})
    winner = BestTrial("it", best, "val_loss", "minimize", {}, str(home.locate_trial("it", 2) / "model.keras"))
    result = StudyResult("it", home, "paused", "", (best,), winner)
    raw = load_raw(mixed_data, "validation")
    np.testing.assert_array_equal(predict_raw(result.load_model(), raw), predict_raw(before, raw))
