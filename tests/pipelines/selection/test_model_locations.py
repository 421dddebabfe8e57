"""Locations of models: the winning model, its refit, the ensemble, and models written from weights."""

from __future__ import annotations

import pytest
from fake_channel import FakeChannel
from inline_engine import InlineEngine
from small_studies import study_of
from weights_alone import leave_weights_alone

from pipelines.engines.run_job import run_job
from pipelines.selection.finalists import REFIT
from pipelines.selection.model_locations import find_ensemble, find_winning_model, is_refitted, make_models_job
from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import TrialJob
from pipelines.training.trial import train_trial
from pipelines.workspace.home import Home

STUDY = study_of("study: it\ndata: {source: data.csv, target: y}\nmodel: mlp\n")
REFITTED = study_of("study: it\ndata: {source: data.csv, target: y}\nmodel: mlp\nselection: {refit: true}\n")
SMALL = {"units": 4, "depth": 1, "batch_size": 16, "epochs": 1}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home", str(tmp_path / "home"))


def test_a_trial_wins_with_the_model_of_its_refit(home):
    """The refit of a winner takes the place of its model, as long as the study file requests it."""
    assert find_winning_model(REFITTED, home, 3).folder == str(home.locate_trial("it", 3))
    refit = home.locate_retraining("it", 3, REFIT)
    refit.mkdir(parents=True)
    (refit / "result.json").write_text("{}")
    assert is_refitted(REFITTED, home, 3)
    assert find_winning_model(REFITTED, home, 3).folder == str(refit)
    assert find_winning_model(STUDY, home, 3).folder == str(home.locate_trial("it", 3))


def test_a_study_without_an_ensemble_has_none(home):
    """No ensemble is found where none was saved."""
    assert find_ensemble(STUDY, home, 3) is None


def test_models_are_written_by_one_job(home, mixed_data):
    """The job for several trials writes the model of each that is named."""
    home.locate_study("it").mkdir(parents=True)
    home.locate_data("it").symlink_to(mixed_data)
    folder = str(home.locate_trial("it", 0))
    job = TrialJob(
        "it", 0, SMALL, frozenset(), 3, "mlp", TrainingSpec(), str(mixed_data), folder, "val_loss", "minimize",
        frozenset(),
    )  # fmt: skip
    train_trial(job, FakeChannel())
    leave_weights_alone(home.locate_trial("it", 0))
    run_job(InlineEngine(), make_models_job(home, "it", [0]))
    assert (home.locate_trial("it", 0) / "model.keras").exists()
