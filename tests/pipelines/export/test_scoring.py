"""Scores of predictions: by the task for a family, by the user's own compilation for a user model."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from fake_channel import FakeChannel
from scipy import sparse

from pipelines.data.examples.examples import Examples
from pipelines.data.prepared import Task
from pipelines.export.scoring import CompiledScorer, Deciding, NoScorer, TaskScorer, make_scorer
from pipelines.models.raw_predict import predict_raw
from pipelines.spec.schema import TrainingSpec
from pipelines.training.messages import PastTrial, TrialJob, UserModel
from pipelines.training.trial import train_trial
from pipelines.training.user_model.evaluate import evaluate_user_model

BINARY = Task("binary", ("bought",), ("no", "yes"), class_counts=(5, 5))
PREDICTIONS = (np.array([[0.9], [0.2], [0.4], [0.8]], np.float32),)


def score_task(metric, *, minimize):
    """Return the scores of four predictions, and the deciding metric."""
    scorer = TaskScorer(BINARY, TrainingSpec(), np.array([1, 0, 1, 1]), Deciding(metric, minimize))
    scores = scorer.score(PREDICTIONS)
    return scores, scorer.choose(scores)


def test_a_family_is_scored_by_its_task():
    """The objective decides where predictions give it, and the task's first metric elsewhere."""
    scores, deciding = score_task("accuracy", minimize=False)
    assert deciding == Deciding("accuracy", minimize=False)
    assert scores["accuracy"] == pytest.approx(0.75)
    assert scores["loss"] == pytest.approx(-np.mean(np.log([0.9, 0.8, 0.4, 0.8])), rel=1e-4)
    assert score_task("loss", minimize=True)[1] == Deciding("loss", minimize=True)
    assert score_task("something_of_mine", minimize=False)[1] == Deciding("accuracy", minimize=False)
    other = TaskScorer(BINARY, TrainingSpec(), np.array([1]), Deciding("loss", minimize=True))
    assert other.score((np.zeros((1, 2), np.float32),)) == {}


MODEL = """
import keras
from keras import layers
class Penalty(layers.Layer):
    def call(self, x):
        self.add_loss(0.1 * keras.ops.mean(x))
        return x
class Tested(keras.Model):
    def test_step(self, data):
        return {"odd": 1.0}
def build(hp):
    x = keras.Input((2,))
    model = CLASS(x, layers.Dense(1, kernel_regularizer="l2")(Penalty()(layers.Dense(3, "relu")(x))))
    COMPILE
    return model
def fit(hp, model, *args, **keywords):
    model.compile("adam", "mse")
"""
COMPILED = 'model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True), metrics=[keras.metrics.AUC()])'


@pytest.fixture
def trained(tmp_path, prepare_data):
    """Return a function that trains a user model of logits, with an own penalty, on arrays."""
    chance = np.random.default_rng(1)
    x = chance.normal(size=(60, 2)).astype("float32")
    np.savez(tmp_path / "few.npz", x=x, y=(x[:, :1] > 0).astype("int32"))
    data = prepare_data("any", source=str(tmp_path / "few.npz"), split={"validation": 0.2, "test": 0.5, "seed": 1})

    def train(kind="keras.Model", metric="val_auc"):
        (tmp_path / "model.py").write_text(MODEL.replace("CLASS", kind).replace("COMPILE", COMPILED))
        job = TrialJob(
            "it", 0, {"epochs": 1, "batch_size": 16}, frozenset(), 3, "model.py:build", TrainingSpec(), str(data),
            str(tmp_path / "trial"), metric, "maximize", frozenset(),
            user_model=UserModel(str(tmp_path), frozenset({"epochs", "batch_size"}), frozenset(), searches=False),
        )  # fmt: skip
        assert train_trial(job, FakeChannel()).result is not None
        return PastTrial(job.folder, job.data)

    yield train
    for name in [name for name in sys.modules if name.startswith("kerastudy_user_")]:
        del sys.modules[name]


def test_a_user_model_is_scored_as_keras_evaluates_it(trained):
    """Its own loss on logits, its regularization, what its layers add, and its metrics by the names of training."""
    trial = trained()
    expected = evaluate_user_model(trial, FakeChannel())
    assert set(expected) == {"test_loss", "test_auc"}, "and not test_auc_1, whatever was built before"
    scorer = make_scorer(trial, "test", 100)
    rows = np.load(Path(trial.data) / "fold-0" / "test.x.0.npy")
    predictions = predict_raw(scorer.model, {"x": rows}, lambda raw: raw["x"])
    scores = scorer.score((predictions,))
    assert scores == pytest.approx({name.removeprefix("test_"): value for name, value in expected.items()}, rel=1e-5)
    assert scorer.choose(scores) == Deciding("auc", minimize=False)
    worse = scorer.score((-predictions,))
    assert worse["auc"] != scores["auc"] and worse["loss"] != scores["loss"]


def test_an_objective_of_fit_leaves_the_decision_to_the_loss(trained):
    """What only `fit` reports cannot be computed from predictions."""
    scorer = make_scorer(trained(), "test", 100)
    assert isinstance(scorer, CompiledScorer)
    scorer._objective = Deciding("patience", minimize=True)
    assert scorer.choose({"loss": 1.0, "auc": 0.5}) == Deciding("loss", minimize=True)
    assert scorer.choose({}) is None


def test_a_test_step_of_its_own_scores_no_predictions(trained):
    """It may ask the model for more than its predictions."""
    scorer = make_scorer(trained("Tested", "loss"), "test", 100)
    assert scorer.score((np.zeros((30, 1), np.float32),)) == {}
    assert NoScorer().choose({}) is None


def test_sparse_rows_are_scored():
    """The model is called with a tensor, and not with SciPy's matrix, which a layer does not take."""
    model = keras.Sequential([keras.layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    rows = Examples(sparse.csr_matrix(np.eye(4, dtype=np.float32)), np.arange(4) % 2)
    user = SimpleNamespace(locate_errors=nullcontext)
    rebuilt = SimpleNamespace(model=model, user=user, load_rows=lambda part: rows)
    scores = CompiledScorer(rebuilt, "test", 4, Deciding("loss", minimize=True)).score((np.full((4, 1), 0.5),))
    assert scores["loss"] == pytest.approx(np.log(2), rel=1e-4)
