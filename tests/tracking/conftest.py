"""A store in a temporary home, and a study's records to deliver."""

import os
import subprocess
import sys

import pytest
from session_folder import make_once

from tracking.outbox.records import EpochsRecorded, StudyClosed, StudyOpened, TrialFinished, TrialStarted
from tracking.store.database import Store

NOON = 1_750_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """An empty store, of either kind."""
    where = tmp_path / "home" if request.param == "sqlite" else request.getfixturevalue("postgresql")
    with Store.open(where) as opened:
        yield opened


@pytest.fixture(scope="session")
def a_study():
    """Make the records of a study: trial 0 complete with 0.5, 1 with 0.8, 2 pruned, 3 failed."""

    def make(study, *, folder="", models=None, metric="val_accuracy", direction="maximize", register=None):
        models = models or {}
        opened = StudyOpened(
            study=study,
            experiment=f"{study}-experiment",
            metric=metric,
            direction=direction,
            parameters=("learning_rate", "optimizer", "momentum"),
            started_ms=NOON,
            artifacts=folder,
            dataset_name="digits",
            dataset_source="sklearn:digits",
            dataset_digest="ab" * 32,
            dataset_rows={"train": 100, "validation": 20},
            tags={"sampler": "tpe"},
        )
        ends = [("complete", 0.5, ""), ("complete", 0.8, ""), ("pruned", None, "pruned at epoch 1")]
        ends.append(("failed", None, "the loss became NaN at epoch 1"))
        records = [opened]
        best = None
        for number, (state, value, reason) in enumerate(ends):
            at_ms = NOON + number * 10_000
            params = {"learning_rate": 0.1 / (number + 1), "optimizer": "sgd" if number else "adam"}
            records.append(TrialStarted(study, number, params | ({"momentum": 0.9} if number else {}), at_ms))
            for epoch in range(2):
                point = (epoch, at_ms + epoch * 1000, {metric: (value or 0.3) - 0.1 * (1 - epoch), "loss": 1.0})
                records.append(EpochsRecorded(study, number, (point,)))
            best = value if value is not None and (best is None or value > best) else best
            metrics = {} if value is None else {f"best_{metric}": value, "best_epoch": 1.0}
            records.append(
                TrialFinished(
                    study, number, state, value, metrics, reason, at_ms + 5000, folder, models.get(number), best
                )
            )
        counts = {"complete": 2, "pruned": 1, "failed": 1}
        records.append(
            StudyClosed(
                study, "finished", "4 trials done", NOON + 60_000, 1, 0.8, counts, folder, register,
                "champion" if register else None, {"accuracy": 0.75},
            )
        )  # fmt: skip
        return records

    return make


@pytest.fixture(scope="session")
def keras_file(tmp_path_factory):
    """A small Keras model on raw columns, saved in a separate process, as by a worker."""
    return str(make_once(tmp_path_factory, "keras-file", _save_model) / "model.keras")


def _save_model(folder):
    code = f"""
import keras
age, colour = keras.Input((), name="age"), keras.Input((), name="colour", dtype="string")
words = ["red", "blue", "", "None", "7"]
codes = keras.layers.StringLookup(vocabulary=words, output_mode="one_hot")(keras.layers.Reshape((1,))(colour))
both = keras.layers.Concatenate()([keras.layers.Reshape((1,))(age), codes])
output = keras.layers.Dense(1, kernel_initializer=keras.initializers.RandomUniform(seed=1))(both)
keras.Model({{"age": age, "colour": colour}}, output).save({str(folder / "model.keras")!r})
"""
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environ)
