"""Losses and metrics: Keras's values on integer labels and on targets in their unit."""

import keras
import numpy as np
import pytest

from pipelines.models.losses import (
    LOSS_CLASSES,
    build_loss,
    build_metrics,
    build_weighted_metrics,
)
from pipelines.models.objectives import LOSSES, METRICS, SMOOTHED_LOSSES
from pipelines.models.output_scores import score_predictions
from pipelines.spec.schema import TrainingSpec

LABELS = np.array([0, 2, 1, 1], dtype="int32")
CLASS_PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.3, 0.2], [0.2, 0.6, 0.2]], dtype="float32")
BINARY_LABELS = np.array([0, 1, 1, 0], dtype="int32")
PROBABILITIES = np.array([[0.2], [0.9], [0.4], [0.6]], dtype="float32")
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
HINGES = {"hinge", "squared_hinge"}
INTEGER = {"sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"}


@pytest.mark.parametrize("name", LOSSES["binary"])
def test_binary_losses_equal_kerass_on_columns(name, requests, tasks):
    """A binary loss on labels [row] is Keras's on labels [row, 1]; hinges see 2p - 1 as the margin."""
    loss = build_loss(requests(), tasks["binary"], TrainingSpec(loss=name))
    predicted = 2 * PROBABILITIES - 1 if name in HINGES else PROBABILITIES
    expected = LOSS_CLASSES[name]()(BINARY_LABELS[:, None].astype("float32"), predicted)
    assert float(loss(BINARY_LABELS, PROBABILITIES)) == pytest.approx(float(expected), rel=1e-6)
    assert loss.name == name


@pytest.mark.parametrize("name", LOSSES["multiclass"])
def test_multiclass_losses_equal_kerass_on_one_hot_labels(name, requests, tasks):
    """A multiclass loss on integer labels is Keras's on one-hot ones."""
    loss = build_loss(requests(), tasks["multiclass"], TrainingSpec(loss=name))
    predicted = 2 * CLASS_PROBABILITIES - 1 if name in HINGES else CLASS_PROBABILITIES
    expected = LOSS_CLASSES[name]()(LABELS if name in INTEGER else ONE_HOT, predicted)
    assert float(loss(LABELS, CLASS_PROBABILITIES)) == pytest.approx(float(expected), rel=1e-6)


def test_the_hinge_of_a_margin_is_what_hand_computation_gives(requests, tasks):
    """Labels 0 and 1 become -1 and 1: hinge = mean(max(0, 1 - y (2p - 1)))."""
    loss = build_loss(requests(), tasks["binary"], TrainingSpec(loss="hinge"))
    assert float(loss(BINARY_LABELS, PROBABILITIES)) == pytest.approx(np.mean([0.4, 0.2, 1.2, 1.2]), rel=1e-6)


@pytest.mark.parametrize("kind", ["regression", "multi_output_regression"])
@pytest.mark.parametrize("name", ["mean_squared_error", "mean_absolute_error", "huber", "log_cosh"])
def test_regression_losses_see_standardised_values(kind, name, requests, rows, tasks):
    """A regression's loss is Keras's on (value - mean) / scale, so the target's unit does not matter."""
    task, (_, target) = tasks[kind], rows(kind)
    predicted = target + np.linspace(-20, 20, target.size, dtype="float32").reshape(target.shape)
    mean, scale = np.float32(task.target_mean), np.float32(task.target_scale)
    expected = LOSS_CLASSES[name]()((target - mean) / scale, (predicted - mean) / scale)
    loss = build_loss(requests(), task, TrainingSpec(loss=name))
    assert float(loss(target, predicted)) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("name", ["poisson", "mean_squared_logarithmic_error", "mean_absolute_percentage_error"])
def test_ratio_losses_see_the_targets_own_units(name, requests, tasks):
    """Losses that make no sense on standardised values get the values themselves."""
    target, predicted = np.float32([[10.0], [20.0]]), np.float32([[12.0], [15.0]])
    loss = build_loss(requests(), tasks["regression"], TrainingSpec(loss=name))
    assert float(loss(target, predicted)) == pytest.approx(float(LOSS_CLASSES[name]()(target, predicted)), rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "name"), [(k, n) for k in ("binary", "multiclass") for n in LOSSES[k] if n in SMOOTHED_LOSSES]
)
def test_label_smoothing_reaches_every_cross_entropy(kind, name, requests, tasks):
    """Smoothing s over k classes replaces one-hot labels y by y (1 - s) + s / k."""
    smoothing = 0.2
    loss = build_loss(requests(label_smoothing=smoothing), tasks[kind], TrainingSpec(loss=name))
    labels, predicted = (BINARY_LABELS, PROBABILITIES) if kind == "binary" else (LABELS, CLASS_PROBABILITIES)
    hard = BINARY_LABELS[:, None].astype("float32") if kind == "binary" else ONE_HOT
    classes = 2 if kind == "binary" else 3
    plain = LOSS_CLASSES[name.replace("sparse_", "")]()
    expected = float(plain(hard * (1 - smoothing) + smoothing / classes, predicted))
    assert float(loss(labels, predicted)) == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx(float(plain(hard, predicted)), rel=1e-3)


def test_label_smoothing_is_not_asked_where_it_cannot_act(given, tasks):
    """A loss without label smoothing does not request it, so a space that declares it is refused."""
    from pipelines.models.catalogue import find_family
    from pipelines.models.hyperparameter_requests import HyperparameterRequests

    hp = given()
    build_loss(HyperparameterRequests(hp, find_family("mlp"), frozenset()), tasks["binary"], TrainingSpec(loss="hinge"))
    build_loss(HyperparameterRequests(hp, find_family("mlp"), frozenset()), tasks["regression"], TrainingSpec())
    assert "label_smoothing" not in hp.values


@pytest.mark.parametrize("kind", METRICS)
def test_every_metric_on_offer_counts_a_batch_under_its_own_name(kind, rows, tasks):
    """Each metric takes labels as the data holds them and gives one finite number under Keras's name."""
    _, target = rows(kind)
    outputs = tasks[kind].outputs
    predicted = np.random.default_rng(0).uniform(0.1, 0.9, (len(target), outputs)).astype("float32")
    if kind == "multiclass":
        predicted /= predicted.sum(axis=1, keepdims=True)
    metrics = build_metrics(tasks[kind], TrainingSpec(metrics=list(METRICS[kind])))
    for metric in metrics:
        metric.update_state(target, predicted)
        value = np.asarray(metric.result())
        assert value.shape == (), metric.name
        assert np.isfinite(value), metric.name
    assert {metric.name for metric in metrics} == set(METRICS[kind])


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("binary", "accuracy", 0.5),
        ("binary", "auc", 0.75),
        ("binary", "f1_score", 0.5),
        ("binary", "precision", 0.5),
        ("binary", "true_positives", 1.0),
        ("multiclass", "accuracy", 0.75),
        # classes a and c: precision and recall 1/2, 1 / 1, 1; b: 1, 1/2
        ("multiclass", "f1_score", (2 / 3 + 2 / 3 + 1) / 3),
        ("multiclass", "recall", 0.75),
    ],
)
def test_classification_metrics_equal_hand_counts(kind, name, expected, tasks):
    """Metrics on integer labels equal a count by hand (thresholds at 0.5, F1 as the mean over classes)."""
    labels, predicted = (BINARY_LABELS, PROBABILITIES) if kind == "binary" else (LABELS, CLASS_PROBABILITIES)
    metric = next(m for m in build_metrics(tasks[kind], TrainingSpec(metrics=[name])) if m.name == name)
    metric.update_state(labels, predicted)
    assert float(metric.result()) == pytest.approx(expected, abs=0.01)
    metric.reset_state()
    metric.update_state(labels, predicted)
    assert float(metric.result()) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_row_that_weighs_three_counts_as_three_rows(kind, tasks, rows):
    """Weighted metrics of whole weights equal plain metrics of repeated rows; plain metrics ignore weights."""
    _, target = rows(kind)
    random = np.random.default_rng(0)
    predicted = random.uniform(0.1, 0.9, (len(target), tasks[kind].outputs)).astype("float32")
    if kind == "multiclass":
        predicted /= predicted.sum(axis=1, keepdims=True)
    weights = random.integers(0, 4, len(target))
    names = list(METRICS[kind])
    found = score_predictions(
        tasks[kind], TrainingSpec(metrics=names, weighted_metrics=names), target, predicted, weights.astype("float32")
    )
    every = TrainingSpec(metrics=names)
    plain = score_predictions(tasks[kind], every, target, predicted)
    repeated = score_predictions(tasks[kind], every, target.repeat(weights, axis=0), predicted.repeat(weights, axis=0))
    assert found == pytest.approx({**plain, **{f"weighted_{name}": repeated[name] for name in names}}, rel=1e-4)


def test_weighted_metrics_have_the_names_that_keras_gives_them(tasks):
    """The prefix distinguishes a metric that is reported in both forms; others keep their names."""
    training = TrainingSpec(metrics=["recall"], weighted_metrics=["recall", "precision", "accuracy"])
    model = keras.Sequential([keras.layers.Dense(1, activation="sigmoid")])
    plain, weighted = ["accuracy", "auc", "recall"], ["recall", "precision", "accuracy"]
    model.compile("sgd", "binary_crossentropy", metrics=plain, weighted_metrics=weighted, run_eagerly=True)
    keras_names = model.evaluate(np.ones((4, 1)), np.array([0, 1, 0, 1]), return_dict=True, verbose=0).keys()
    ours = [*build_metrics(tasks["binary"], training), *build_weighted_metrics(tasks["binary"], training)]
    assert {metric.name for metric in ours} == keras_names - {"loss"}


def test_wrapped_metrics_keep_their_state_where_keras_finds_it(tasks):
    """A compiled model resets metrics between epochs through the variables it can see."""
    metric = build_metrics(tasks["multiclass"], TrainingSpec(metrics=["f1_score"]))[-1]
    metric.update_state(LABELS, CLASS_PROBABILITIES)
    assert metric.variables
    assert isinstance(metric, keras.metrics.Metric)
