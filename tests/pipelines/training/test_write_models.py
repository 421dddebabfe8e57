"""The model of a trial written from its weights alone: the very model that was trained, or a clear refusal."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from fake_channel import FakeChannel
from weights_alone import leave_weights_alone

from pipelines.data.prepared_folder import load_raw
from pipelines.models.raw_predict import predict_raw
from pipelines.spec.schema import EarlyStoppingSpec, TrainingSpec
from pipelines.training.artifacts import read_trial
from pipelines.training.errors import RebuildError
from pipelines.training.messages import PastTrial, TrialJob
from pipelines.training.trial import train_trial
from pipelines.training.trial_folder import MODEL_FILE, WEIGHTS_FILE
from pipelines.training.write_models import ensure_model_file, write_models

ODD = {
    "depth": 2,
    "units_1": 5,
    "units_2": 3,
    "activation": "tanh",
    "batch_normalization": True,
    "dropout": 0.2,
    "l2": 1e-4,
    "optimizer": "sgd",
    "momentum": 0.9,
    "learning_rate": 0.05,
    "batch_size": 16,
    "epochs": 2,
}
SPEC = TrainingSpec(early_stopping=EarlyStoppingSpec(patience=1, min_delta=0.01))


@pytest.fixture
def trained(tmp_path, mixed_data):
    """Return a function that trains a trial and returns its job and where it is."""

    def make(number=7, data=mixed_data, **changes):
        folder = tmp_path / "trials" / f"{number:04d}"
        plain = TrialJob(
            "it", number, ODD, frozenset({"units"}), 11, "mlp", SPEC, str(data), str(folder), "val_loss", "minimize",
            frozenset(),
        )  # fmt: skip
        job = replace(plain, **changes)
        train_trial(job, FakeChannel())
        return job, PastTrial(str(folder), str(data)), folder

    return make


def test_a_trial_is_read_back_from_its_files(trained):
    """The files of a trial contain the whole trial, except its rungs."""
    job, past, _ = trained()
    assert read_trial(past) == (job, 0)


@pytest.mark.long
@pytest.mark.parametrize("folds", [1, 3])
def test_the_model_is_the_one_that_was_trained(trained, prepare_data, folds):
    """From its weights a trial gives the same predictions for raw columns, with the preprocessing of its fold."""
    split = {"folds": folds, "seed": 1} if folds > 1 else {"seed": 1}
    data = prepare_data(source="mixed.csv", target="bought", split=split)
    _, past, folder = trained(data=data)
    summary = (folder / "artifacts" / "model_summary.txt").read_text()
    before = leave_weights_alone(folder)
    (folder / "artifacts" / "model_summary.txt").unlink()
    write_models([past], FakeChannel())
    after = keras.models.load_model(folder / MODEL_FILE)
    raw = load_raw(data, "validation")
    np.testing.assert_array_equal(predict_raw(after, raw), predict_raw(before, raw))
    assert after.get_config() == before.get_config()
    assert (folder / "artifacts" / "model_summary.txt").read_text() == summary
    assert list(folder.rglob("saving-*")) == []


def test_a_model_that_is_there_stays(trained):
    """Nothing is written where the model is there already, or where there is nothing to write it from."""
    _, past, folder = trained()
    before = (folder / MODEL_FILE).read_bytes()
    assert ensure_model_file(past) == folder / MODEL_FILE
    assert (folder / MODEL_FILE).read_bytes() == before
    (folder / MODEL_FILE).unlink()
    assert not ensure_model_file(past).exists()


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kept: kept[:-1], r"the trial's model has \d+ weights, the file \d+"),
        (lambda kept: [kept[0].T, *kept[1:]], r"kernel of the trial's model has the shape \(\d+, 5\), the file \(5, "),
        (lambda kept: [kept[1], kept[0], *kept[2:]], r"kernel of the trial's model has the shape"),
    ],
)
def test_weights_of_another_model_are_refused(trained, change, message):
    """Weights that do not fit are named with the shapes, nothing is written, and the other trials get their models."""
    _, past, folder = trained()
    _, other, other_folder = trained(number=8)
    leave_weights_alone(folder)
    leave_weights_alone(other_folder)
    with np.load(folder / WEIGHTS_FILE) as kept:
        wrong = change([kept[name] for name in kept.files])
    np.savez(folder / WEIGHTS_FILE, *wrong)
    with pytest.raises(RebuildError, match=message):
        write_models([past, other], FakeChannel())
    assert not (folder / MODEL_FILE).exists()
    assert (other_folder / MODEL_FILE).exists()
