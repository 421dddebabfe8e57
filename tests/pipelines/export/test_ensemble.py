"""Models averaged into one, on real trials of a table with strings and gaps."""

import keras
import numpy as np
import pytest
from fake_channel import FakeChannel

from pipelines.data.prepared_folder import load_raw, load_summary
from pipelines.export.ensemble import average_models, evaluate_ensemble
from pipelines.export.jobs import EnsembleJob
from pipelines.models.raw_predict import predict_raw
from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import PastTrial, TrialJob
from pipelines.training.trial import train_trial


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


def test_it_is_not_kept_where_it_does_not(trials, tmp_path):
    """Averaged with one that learned nothing, the better one wins alone; an earlier file goes."""
    folder = tmp_path / "ensemble"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"an earlier one")
    ours, winners, _ = evaluate_ensemble(EnsembleJob((trials[1], trials[2]), 0, str(folder)), FakeChannel())
    assert ours > winners
    assert not (folder / "model.keras").exists()
