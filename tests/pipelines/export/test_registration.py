"""MLflow models that are loaded once before they are registered."""

from __future__ import annotations

from pathlib import Path

import pytest
from exported_trials import train_one
from fake_channel import FakeChannel
from inline_engine import InlineEngine
from user_code import forget_user_code

from pipelines.export.jobs import RegistrationJob
from pipelines.export.registration import prove_registration
from pipelines.recording.records import MLFLOW_MODEL, write_mlflow_model
from pipelines.supervisor.registration import check_registration
from pipelines.training.messages import PastTrial, UserModel
from pipelines.training.trial_folder import read_refusal
from pipelines.workspace.home import Home

CODE = """
import keras

@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2.0

def build(hp):
    model = keras.Sequential([keras.layers.Dense(4), Doubled(), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model
"""


@pytest.fixture
def trial(tmp_path, mixed_data):
    """Return a trial of a user model with a class of its own on a preprocessed table, with its MLflow model."""
    home = Home(tmp_path / "home", "")
    (tmp_path / "own.py").write_text(CODE)
    user_model = UserModel(str(tmp_path), frozenset({"epochs"}), frozenset(), searches=False)
    train_one(home, "own", mixed_data, "own.py:build", {"epochs": 1}, user_model)
    made = PastTrial(str(home.locate_trial("own", 0)), str(home.locate_data("own")))
    write_mlflow_model(Path(made.folder), Path(made.data))
    yield made
    forget_user_code()


def prove(trial):
    """Return why a trial is not registered."""
    forget_user_code()
    return prove_registration(RegistrationJob(trial, str(Path(trial.folder) / MLFLOW_MODEL)), FakeChannel())


def test_a_model_that_mlflow_loads_may_be_registered(trial):
    """With its code beside it, it predicts what the trial's model does; no reason is kept."""
    assert prove(trial) == ""
    forget_user_code()
    assert check_registration(trial, InlineEngine()) == ""
    assert read_refusal(Path(trial.folder)) == ""


def test_a_model_that_mlflow_cannot_load_is_not(trial):
    """The reason is the loader's, and is kept with the trial."""
    code = Path(trial.folder) / MLFLOW_MODEL / "data" / "code" / "own.py"
    code.write_text(code.read_text() + "open('a file that is only here')\n")
    assert "MLflow cannot load it: FileNotFoundError" in prove(trial)
    forget_user_code()
    assert check_registration(trial, InlineEngine()) == read_refusal(Path(trial.folder)) != ""


def test_a_model_with_other_predictions_is_not(trial):
    """Code may build another model elsewhere."""
    code = Path(trial.folder) / MLFLOW_MODEL / "data" / "code" / "own.py"
    code.write_text(code.read_text().replace("* 2.0", "* 9.0"))
    assert prove(trial).startswith("MLflow's model differs from the trial's by ")


def test_a_model_without_a_form_for_mlflow_is_not(trial):
    """Its code could not go along, and the note of the trial says why."""
    (Path(trial.folder) / MLFLOW_MODEL).rename(Path(trial.folder) / "gone")
    assert check_registration(trial, InlineEngine()).startswith("it needs its code, which cannot go along")
