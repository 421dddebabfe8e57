"""Small trials of each kind, as their search leaves them, for tests of exports."""

from __future__ import annotations

import numpy as np
from fake_channel import FakeChannel

from pipelines.export.model_card import ModelOrigin
from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import TrialJob, UserModel
from pipelines.training.trial import train_trial
from pipelines.workspace.home import Home

_OWN = """
import keras


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2.0


def build(hp):
    model = keras.Sequential(
        [keras.layers.Dense(hp.Int("units", 4, 8), activation="relu"), Doubled(), keras.layers.Dense(1, "sigmoid")]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model
"""


def trained_home(folder, mixed_data, prepare_data):
    """Return a home with a trial of a table, one of images, and one of a user model on the table."""
    where = Home(folder / "home", "")
    chance = np.random.default_rng(2)
    images = folder / "images.npz"
    np.savez(images, x=chance.integers(0, 255, (60, 6, 6, 1)).astype("uint8"), y=np.arange(60) % 3)
    image_data = prepare_data("image", source=str(images), split={"validation": 0.2, "test": 0.1, "seed": 1})
    (folder / "own.py").write_text(_OWN)
    small = {"learning_rate": 0.05, "batch_size": 16, "epochs": 1}
    train_one(where, "table", mixed_data, "mlp", {**small, "units": 4, "depth": 1})
    train_one(where, "images", image_data, "cnn", {**small, "blocks": 1, "filters": 2, "rotation": 0.1})
    user_model = UserModel(str(folder), frozenset({"units", "epochs"}), frozenset({"units"}), searches=False)
    train_one(where, "own", mixed_data, "own.py:build", {"units": 4, "epochs": 1}, user_model)
    return where


def train_one(home, study, data, model, values, user_model=None):
    """Train trial 0 of a study."""
    home.locate_study(study).mkdir(parents=True)
    home.locate_data(study).symlink_to(data)
    job = TrialJob(
        study=study,
        number=0,
        values=values,
        per_layer=frozenset(),
        seed=3,
        model=model,
        training=TrainingSpec(),
        data=str(data),
        folder=str(home.locate_trial(study, 0)),
        metric="val_loss",
        direction="minimize",
        rungs=frozenset(),
        user_model=user_model,
    )
    train_trial(job, FakeChannel())


def origin_of(study):
    """Return a study's facts for a model card."""
    return ModelOrigin(
        study=study,
        trial=0,
        study_file="study.json",
        document='{"study": "s"}\n',
        model="mlp",
        split="20% validation, 10% test, seed 1",
        budget="3 trials",
        space={"units": "type int, low 4, high 8"},
        metric="val_loss",
        direction="minimize",
        trials={"complete": 3},
        value=0.5,
        is_winner=True,
        test={"test_loss": 0.6},
        importances={"units": 0.75, "depth": 0.25},
    )
