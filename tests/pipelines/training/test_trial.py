"""A trial in a worker: the files it leaves, its second attempt, and folds."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from fake_channel import FakeChannel, WorkerDiedError

from pipelines.data.prepared_folder import load_part, load_raw
from pipelines.models.raw_predict import predict_raw
from pipelines.spec.schema import EarlyStoppingSpec, TrainingSpec
from pipelines.training.messages import TrialJob
from pipelines.training.trial import train_trial
from pipelines.training.trial_folder import read_epochs, read_pause, read_result

VALUES = {"units": 4, "depth": 1, "learning_rate": 0.05, "batch_size": 16, "epochs": 3, "dropout": 0.1}


@pytest.fixture(scope="module")
def job(mixed_data, tmp_path_factory):
    """Return a function that makes a trial's job in a new folder."""

    def make(**changes):
        folder = tmp_path_factory.mktemp("trials") / "0007"
        plain = TrialJob(
            study="it",
            number=7,
            values=VALUES,
            per_layer=frozenset(),
            seed=11,
            model="mlp",
            training=TrainingSpec(early_stopping=None),
            data=str(mixed_data),
            folder=str(folder),
            metric="val_loss",
            direction="minimize",
            rungs=frozenset(),
        )
        return replace(plain, **changes), folder

    return make


@pytest.fixture(scope="module")
def trained(job):
    """One complete trial: its job, folder, channel and result."""
    its_job, folder = job()
    channel = FakeChannel()
    return its_job, folder, channel, train_trial(its_job, channel).result


def test_a_trial_can_be_given_to_fit(job, trained):
    """The graph trainer and `fit` reach the same scores but for rounding; `by_fit` chooses `fit`."""
    its_job, _ = job(by_fit=True, values=VALUES | {"epochs": 1})
    result = train_trial(its_job, FakeChannel()).result
    first = trained[3].epochs[0].metrics
    assert (result.trainer, trained[3].trainer) == ("fit", "graph")
    assert result.epochs[0].metrics["val_loss"] == pytest.approx(first["val_loss"], rel=2e-4)


def test_the_result_describes_the_best_epoch(trained):
    """Score, best epoch and metrics are those of the best of the reported epochs."""
    _, _, channel, result = trained
    assert result.state == "complete"
    assert [(done.epoch, done.of, done.fold) for done in channel.reported] == [(0, 3, 0), (1, 3, 0), (2, 3, 0)]
    values = [done.metrics["val_loss"] for done in channel.reported]
    assert result.value == min(values)
    assert result.metrics == channel.reported[result.best_epoch].metrics
    assert {"loss", "val_loss", "val_accuracy"} <= set(result.metrics)
    assert result.epochs == tuple(channel.reported)
    assert result.parameters > 0
    assert channel.beats > 0


def test_the_files_of_a_trial(trained):
    """Each file is there with its content; the result is the last of them."""
    _, folder, channel, result = trained
    artifacts = folder / "artifacts"
    with (artifacts / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [float(row["val_loss"]) for row in rows] == [done.metrics["val_loss"] for done in channel.reported]
    assert (artifacts / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((artifacts / "config.json").read_text())
    assert (config["trial"], config["seed"], config["params"]) == (7, 11, VALUES)
    assert config["requested"]["units"] == 4
    assert config["requested"]["optimizer"], "defaults that the space does not name are written down too"
    assert config["keras"] == keras.version()
    summary = (artifacts / "model_summary.txt").read_text()
    assert "Total params" in summary
    assert read_result(folder) == result
    times = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    assert max(times, key=times.get).name == "result.json"
    assert list(folder.rglob("saving-*")) == []


def test_the_model_takes_raw_columns_in_stock_keras(trained, mixed_data):
    """The saved model loads with Keras alone and scores on raw validation rows what the trial was scored."""
    _, folder, _, result = trained
    model = keras.models.load_model(folder / "model.keras")
    raw = load_raw(mixed_data, "validation")
    assert {tensor.name for tensor in model.inputs} == set(raw)
    predicted = predict_raw(model, raw)[:, 0]
    truth = np.asarray(load_part(mixed_data, "validation").y)
    loss = keras.losses.binary_crossentropy(truth.astype("float32"), predicted)
    assert float(np.mean(loss)) == pytest.approx(result.value, rel=1e-4)


def test_a_trial_repeats_bit_for_bit(job, trained):
    """Trained again from its job, a trial gives the same numbers to the last bit."""
    again, _ = job()
    result = train_trial(again, FakeChannel()).result
    assert [done.metrics for done in result.epochs] == [done.metrics for done in trained[3].epochs]
    assert result.value == trained[3].value


def test_the_seed_decides(job, trained):
    """Another seed gives another training."""
    other, _ = job(seed=12)
    assert train_trial(other, FakeChannel()).result.value != trained[3].value


def test_early_stopping_is_the_study_files(job):
    """Patience and min_delta come from `training.early_stopping`."""
    values = {**VALUES, "epochs": 8}
    stopping = TrainingSpec(early_stopping=EarlyStoppingSpec(patience=1, min_delta=100.0))
    its_job, _ = job(values=values, training=stopping)
    assert len(train_trial(its_job, FakeChannel()).result.epochs) == 2


def test_a_second_attempt_reuses_the_times_of_the_first(job):
    """MLflow stores a point that is sent again once only if its time is the same."""
    its_job, folder = job()
    first = FakeChannel(die_at=1)
    with pytest.raises(WorkerDiedError):
        train_trial(its_job, first)
    assert read_result(folder) is None
    second = FakeChannel()
    result = train_trial(its_job, second).result
    assert second.reported[:2] == first.reported
    assert read_epochs(folder) == result.epochs == tuple(second.reported)


def test_a_line_that_was_cut_off_costs_no_other(job):
    """A kill in the middle of writing an epoch down spoils neither that file nor the next attempt's lines."""
    its_job, folder = job()
    folder.mkdir(parents=True)
    (folder / "fold-0-epochs.jsonl").write_text('\n{"epoch": 0, "of"')
    assert read_epochs(folder) == ()
    result = train_trial(its_job, FakeChannel()).result
    assert read_epochs(folder) == result.epochs


def test_an_epoch_is_reported_once_even_if_its_metrics_change(job):
    """The first report of an epoch counts, so that a curve has one point there; the result has the later metrics."""
    its_job, folder = job()
    with pytest.raises(WorkerDiedError):
        train_trial(its_job, FakeChannel(die_at=0))
    other = replace(its_job, seed=99)
    earlier = read_epochs(folder)[0]
    channel = FakeChannel()
    result = train_trial(other, channel).result
    assert channel.reported[0] == earlier == read_epochs(folder)[0]
    assert result.epochs[0].metrics != earlier.metrics
    assert channel.reported[1:] == list(result.epochs[1:])


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_rung_request_has_the_best_score_so_far(job, direction):
    """At each rung, and only there, the trial sends its best score so far; not at its last epoch."""
    its_job, _ = job(rungs=frozenset({0, 1, 2, 5}), direction=direction)
    channel = FakeChannel()
    train_trial(its_job, channel)
    best = min if direction == "minimize" else max
    values = [done.metrics["val_loss"] for done in channel.reported]
    assert [(rung.epoch, rung.best) for rung in channel.requested] == [(0, values[0]), (1, best(values[:2]))]


def test_a_pruned_trial_leaves_a_curve_but_no_model(job):
    """A pruned trial ends at its rung; its curve and its score stay, a model is not written."""
    its_job, folder = job(rungs=frozenset({0, 1}))
    result = train_trial(its_job, FakeChannel(prune_at=(1,))).result
    assert (result.state, len(result.epochs)) == ("pruned", 2)
    assert not (folder / "model.keras").exists()
    assert (folder / "artifacts" / "history.csv").exists()
    assert read_result(folder) == result


def test_a_paused_trial_goes_on_where_it_was(job, trained):
    """It leaves its checkpoint and the result that it has so far; in its next attempt it is what it would have been."""
    its_job, folder = job(rungs=frozenset({0}))
    paused = train_trial(its_job, FakeChannel(pause_at=(0,)))
    assert (paused.kind, paused.result.state, len(paused.result.epochs)) == ("paused", "pruned", 1)
    assert (read_result(folder), read_pause(folder)) == (None, paused.result)
    assert list(folder.glob("*.checkpoint"))
    channel = FakeChannel(pause_at=(0,))
    done = train_trial(replace(its_job, resumed_after=1, spent_s=100.0), channel)
    assert channel.requested == [], "the rung is behind it"
    whole = trained[3]
    assert (done.kind, done.result.value, done.result.best_epoch) == ("completed", whole.value, whole.best_epoch)
    assert [each.metrics for each in done.result.epochs] == [each.metrics for each in whole.epochs]
    assert done.result.seconds > 100.0
    ours, theirs = (keras.models.load_model(each / "model.keras").get_weights() for each in (folder, trained[1]))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_pause_that_a_kill_left_unrecorded_is_decided_again(job, trained):
    """A trial whose pause was not written stands at its rung: it pauses again, or goes on if it may."""
    its_job, folder = job(rungs=frozenset({0}))
    paused = train_trial(its_job, FakeChannel(pause_at=(0,)))
    (folder / "paused.json").unlink()
    again = train_trial(its_job, FakeChannel(pause_at=(0,)))
    assert (again.kind, again.result.value, len(again.result.epochs)) == ("paused", paused.result.value, 1)
    assert read_pause(folder) == again.result
    (folder / "paused.json").unlink()
    channel = FakeChannel()
    done = train_trial(its_job, channel)
    assert (len(channel.requested), done.kind, done.result.value) == (1, "completed", trained[3].value)


# Folds -------------------------------------------------------------------------------------------------------


def test_a_model_over_the_ceiling_is_not_trained(job, trained):
    """A trial whose model is too large reports no epoch, has a reason, and leaves no result."""
    parameters = keras.models.load_model(trained[1] / "model.keras").count_params()
    for ceiling, key in (
        ({"most_parameters": 1}, "limits.parameters"),
        ({"most_model_bytes": 1}, "limits.model_memory"),
    ):
        its_job, folder = job(**ceiling)
        channel = FakeChannel()
        ended = train_trial(its_job, channel)
        assert ended.kind == "rejected"
        assert f"{key} allows" in ended.reason
        assert channel.reported == []
        assert read_result(folder) is None
    assert train_trial(job(most_parameters=parameters)[0], FakeChannel()).kind == "completed"


@pytest.fixture(scope="module")
def folded(prepare_data, job):
    """A trial on three folds: its job, folder, channel and result."""
    data = prepare_data(source="mixed.csv", target="bought", split={"folds": 3, "seed": 4})
    its_job, folder = job(data=str(data), rungs=frozenset({0}), values={**VALUES, "epochs": 2})
    channel = FakeChannel()
    return its_job, folder, channel, train_trial(its_job, channel).result


def test_folds_are_scored_by_the_mean_of_their_best(folded):
    """The score is the mean over the folds of each one's best epoch; so is every other metric."""
    _, _, channel, result = folded
    by_fold = [[done for done in channel.reported if done.fold == fold] for fold in range(3)]
    best = [min(epochs, key=lambda done: done.metrics["val_loss"]) for epochs in by_fold]
    assert all(len(epochs) == 2 for epochs in by_fold)
    assert result.value == pytest.approx(np.mean([done.metrics["val_loss"] for done in best]), rel=1e-12)
    expected = np.mean([done.metrics["val_accuracy"] for done in best])
    assert result.metrics["val_accuracy"] == pytest.approx(expected, rel=1e-12)
    first = np.mean([epochs[0].metrics["loss"] for epochs in by_fold])
    assert result.epochs[0].metrics["loss"] == pytest.approx(first, rel=1e-12)
    assert len({epochs[0].metrics["val_loss"] for epochs in by_fold}) == 3, "folds have rows of their own"


def test_the_model_of_the_best_fold_is_kept(folded):
    """The model is the one of the fold with the best score, with that fold's preprocessing."""
    its_job, folder, channel, _ = folded
    scores = [min(done.metrics["val_loss"] for done in channel.reported if done.fold == fold) for fold in range(3)]
    best = int(np.argmin(scores))
    assert best != 0, "the first fold would be taken by chance"
    assert json.loads((folder / "artifacts" / "config.json").read_text())["fold"] == best
    data = Path(its_job.data)
    predicted = predict_raw(keras.models.load_model(folder / "model.keras"), load_raw(data, "validation", best))
    truth = np.asarray(load_part(data, "validation", best).y).astype("float32")
    loss = float(np.mean(keras.losses.binary_crossentropy(truth, predicted[:, 0])))
    assert loss == pytest.approx(scores[best], rel=1e-4)


def test_pruning_looks_at_the_first_fold_alone(folded, job):
    """Only the first fold sends rung requests; a trial pruned there does not train the others."""
    its_job, _, channel, _ = folded
    assert [rung.epoch for rung in channel.requested] == [0]
    pruned_job, _ = job(data=its_job.data, rungs=its_job.rungs, values=its_job.values)
    pruned = FakeChannel(prune_at=(0,))
    result = train_trial(pruned_job, pruned).result
    assert result.state == "pruned"
    assert [(done.fold, done.epoch) for done in pruned.reported] == [(0, 0)]


def test_the_epochs_of_every_fold_are_on_disk(folded):
    """What each fold reported can be read back, fold by fold."""
    _, folder, channel, _ = folded
    assert read_epochs(folder) == tuple(channel.reported)
    assert sorted(file.name for file in folder.glob("*epochs*")) == [f"fold-{fold}-epochs.jsonl" for fold in range(3)]


# Seeds -------------------------------------------------------------------------------------------------------


def test_a_trial_is_trained_with_several_seeds(job, trained):
    """The score is the mean over the seeds, the first of which is the trial's own; the model is the best one's."""
    its_job, folder = job(training=TrainingSpec(early_stopping=None, seeds=2))
    channel = FakeChannel()
    result = train_trial(its_job, channel).result
    curves = {seed: [done.metrics["val_loss"] for done in read_epochs(folder) if done.fold == seed] for seed in (0, 1)}
    assert curves[0] == [done.metrics["val_loss"] for done in trained[3].epochs]
    assert curves[1] != curves[0]
    assert result.value == pytest.approx((min(curves[0]) + min(curves[1])) / 2)
    assert [done.metrics["val_loss"] for done in result.epochs] == pytest.approx(
        np.mean([curves[0], curves[1]], axis=0)
    )
    assert (folder / "model.keras").exists()
