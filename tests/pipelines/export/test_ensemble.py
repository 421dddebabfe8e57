"""Models averaged into one, on real trials of a table with strings and gaps."""

from pathlib import Path

import keras
import numpy as np
import pytest
from fake_channel import FakeChannel
from inline_engine import InlineEngine

from pipelines.data.prepared_folder import load_raw, load_summary
from pipelines.export import parity as parity_module
from pipelines.export.ensemble import average_models, evaluate_ensemble
from pipelines.export.export import ExportSource, export_trial
from pipelines.export.jobs import EnsembleJob
from pipelines.export.source_model import _differs
from pipelines.models.raw_predict import predict_raw
from pipelines.selection.model_locations import list_fold_models
from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import PastTrial, TrialJob
from pipelines.training.trial import train_trial
from pipelines.training.trial_folder import locate_fold


@pytest.fixture(scope="module")
def trials(mixed_data, tmp_path_factory):
    """Three trials that differ in seed and size; the last one has learned nothing."""
    folder = tmp_path_factory.mktemp("trials")
    made = []
    for number, (units, learning_rate) in enumerate([(4, 0.05), (8, 0.05), (2, 1e-9)]):
        values = {"units": units, "depth": 1, "batch_size": 16, "epochs": 4, "learning_rate": learning_rate}
        job = TrialJob(
            "it", number, values, frozenset(), number, "mlp", TrainingSpec(), str(mixed_data),
            str(folder / str(number)), "val_loss", "minimize", frozenset(),
        )  # fmt: skip
        train_trial(job, FakeChannel())
        made.append(PastTrial(job.folder, job.data))
    return made


def loaded(trial):
    return keras.models.load_model(f"{trial.folder}/model.keras")


def test_the_average_is_one_model_on_raw_columns(trials, mixed_data, tmp_path):
    """It takes what each takes, survives being saved, and gives the mean of what each gives."""
    models = [loaded(trial) for trial in trials]
    raw = load_raw(mixed_data, "validation")
    expected = np.mean([predict_raw(model, raw) for model in models], axis=0)
    average_models(models, load_summary(mixed_data)).save(tmp_path / "model.keras")
    got = predict_raw(keras.models.load_model(tmp_path / "model.keras"), raw)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_it_is_kept_where_it_beats_the_winner(trials, tmp_path):
    """Against the trial that learned nothing it wins and is kept, as a trial's files are."""
    ours, winners, metric = evaluate_ensemble(EnsembleJob(tuple(trials), 2, str(tmp_path / "ensemble")), FakeChannel())
    assert metric == "loss"
    assert ours < winners
    assert (tmp_path / "ensemble" / "model.keras").exists()
    assert (tmp_path / "ensemble" / "artifacts" / "config.json").exists()


@pytest.mark.long
def test_it_is_exported_like_a_trial(trials, tmp_path, monkeypatch):
    """Its members share their preprocessing, so formats that hold the network alone hold all of them in one."""
    monkeypatch.setattr(parity_module, "_FEWEST_CALLS", 2)
    monkeypatch.setattr(parity_module, "_CALLS_S", 0.0)
    folder = str(tmp_path / "ensemble")
    evaluate_ensemble(EnsembleJob(tuple(trials), 2, folder), FakeChannel())
    source = ExportSource("it", 2, PastTrial(folder, trials[0].data))
    formats = ["keras", "saved_model", "litert", "litert_int8", "onnx"]
    parities = export_trial(source, formats, tmp_path / "out", InlineEngine())
    assert [parity.format for parity in parities] == formats
    assert all(parity.largest_difference < 1e-5 for parity in parities if parity.format != "litert_int8")
    assert parities[3].preprocessing_file == "preprocessing.tflite"


def test_members_with_preprocessing_of_their_own_are_told_apart(trials):
    """Models of several folds have it; what they share can be put before all of them."""
    first, second = (loaded(trial).layers[-2] for trial in trials[:2])
    assert not _differs(first, second)
    assert _differs(first, keras.Model(second.inputs, second.output, name="other"))


def test_it_is_not_kept_where_it_does_not(trials, tmp_path):
    """Averaged with one that learned nothing, the better one wins alone; an earlier file goes."""
    folder = tmp_path / "ensemble"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"an earlier one")
    ours, winners, _ = evaluate_ensemble(EnsembleJob((trials[1], trials[2]), 0, str(folder)), FakeChannel())
    assert ours > winners
    assert not (folder / "model.keras").exists()


@pytest.mark.long
def test_folds_keep_their_models_and_preprocessing(trials, prepare_data, tmp_path):
    """Each fold of a retraining leaves a model on raw columns, and their mean with a trial's own is one model."""
    folds = prepare_data(source="mixed.csv", target="bought", split={"folds": 2, "test": 0.2, "seed": 1})
    values = {"units": 4, "depth": 1, "batch_size": 16, "epochs": 4, "learning_rate": 0.05}
    folder = tmp_path / "folds-2"
    job = TrialJob(
        "it", 0, values, frozenset(), 0, "mlp", TrainingSpec(), str(folds), str(folder), "val_loss", "minimize",
        frozenset(), keeps_folds=True,
    )  # fmt: skip
    train_trial(job, FakeChannel())
    members = list_fold_models(folder, folds)
    assert [member.folder for member in members] == [str(locate_fold(folder, fold)) for fold in range(2)]
    made = tmp_path / "ensemble"
    evaluate_ensemble(EnsembleJob((trials[2], *members), 0, str(made)), FakeChannel())
    raw = load_raw(Path(trials[2].data), "validation")
    expected = np.mean([predict_raw(loaded(each), raw) for each in (trials[2], *members)], axis=0)
    np.testing.assert_allclose(predict_raw(keras.models.load_model(made / "model.keras"), raw), expected, rtol=1e-5)
