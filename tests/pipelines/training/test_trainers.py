"""The contract of every trainer: same trial, same seed, same result, whichever trainer runs it."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from pipelines.data.examples.examples import Examples
from pipelines.data.examples.picture_rows import PictureRows, widen
from pipelines.data.examples.structures import map_leaves
from pipelines.data.prepared import Features, Task
from pipelines.models import backbones
from pipelines.models.backbones import Backbone
from pipelines.models.build import build_hypermodel
from pipelines.models.context import ModelContext
from pipelines.models.head_objectives import calculate_head_weights
from pipelines.models.objectives import calculate_class_weights
from pipelines.spec.schema import TrainingSpec
from pipelines.training.batches import Rows, Streaming
from pipelines.training.fit_trainer import train_with_fit
from pipelines.training.graph_trainer import train_in_graph
from pipelines.training.schedule import Schedule
from search_spaces.hyperparameters import TrialHyperParameters

BATCH_SIZE, WIDTH = 16, 5
WHOLE_BATCHES, LAST_IS_PARTIAL = (32, 16), (36, 17)
"""Rows for training and for validation; a trainer traces the step once more for a partial batch."""

# What needs no classes trains REGRESSION: the area under a curve, a metric of BINARY, takes a tenth of its time.
BINARY = Task("binary", ("y",), classes=("no", "yes"), class_counts=(40, 30))
MULTICLASS = Task("multiclass", ("y",), classes=("a", "b", "c"), class_counts=(30, 20, 20))
REGRESSION = Task("regression", ("y",), target_mean=(10.0,), target_scale=(3.0,))
LABELS = Task("multi_label", ("red", "blue"), target_mean=(0.0, 0.0), target_scale=(1.0, 1.0))
_HEADS = (replace(MULTICLASS, targets=("kind",), output="kind"), replace(REGRESSION, targets=("size",), output="size"))
HEADS = Task("multi_task", ("kind", "size"), heads=_HEADS)
DENSE = Features(dense=WIDTH)


class Quiet:
    """A listener that lets a training go on, or ends it at an epoch."""

    def __init__(self, prune_at=None):
        self.prune_at = prune_at
        self.batches = 0

    def record_batch(self):
        self.batches += 1

    def record_epoch(self, epoch, metrics):
        return "prune" if epoch == self.prune_at else "go_on"


def rows_of(task, features=DENSE, class_weight=None, counts=WHOLE_BATCHES):
    """Return rows, with weights where the task says so."""
    random = np.random.default_rng(5)

    def draw(task, count):
        if task.classes:
            return random.integers(0, len(task.classes), count).astype("int32")
        if task.kind == "multi_label":
            return random.integers(0, 2, (count, task.outputs)).astype("float32")
        return random.normal(10, 3, (count, task.outputs)).astype("float32")

    def part(count):
        x = {}
        if features.dense:
            x["dense"] = random.normal(size=(count, features.dense)).astype("float32")
        if features.codes:
            x["codes"] = np.stack([random.integers(0, n, count) for _, n in features.codes], 1).astype("int32")
        if features.image:
            x["image"] = random.normal(size=(count, *features.image)).astype("float32")
        if features.series:
            x["series"] = random.normal(size=(count, *features.series)).astype("float32")
        for name, length, words in features.text:
            x[name] = random.integers(0, words, (count, length)).astype("int32")
        y = {head.output: draw(head, count) for head in task.heads} if task.heads else draw(task, count)
        return Examples(x, y, random.uniform(0, 4, count).astype("float32") if task.is_weighted else None)

    train, validation = counts
    return Rows(part(train), part(validation), class_weight)


def trained(
    trainer, task, values, *, features=DENSE, family="mlp", training=None, epochs=2, prune_at=None, counts=WHOLE_BATCHES
):
    """Train a trial; `fit` eagerly, as these trainings are shorter than the making of a graph."""
    training = training or TrainingSpec()
    context = ModelContext(features, task, training, counts[0])
    keras.utils.set_random_seed(11)
    hp = TrialHyperParameters({"batch_size": BATCH_SIZE, "epochs": epochs, "optimizer": "sgd", "units": 8, **values})
    model = build_hypermodel(family, context).build(hp)
    model.run_eagerly = trainer is train_with_fit
    weights = calculate_head_weights(task, training) if task.heads else calculate_class_weights(task, training)
    rows = rows_of(task, features, weights, counts)
    patience = training.early_stopping.patience if training.early_stopping else None
    schedule = Schedule(epochs, BATCH_SIZE, patience, 0.0, seed=11)
    fitted = trainer(model, rows, schedule, metric="val_loss", direction="minimize", listener=Quiet(prune_at))
    return model, fitted


def assert_same(task, values, **options):
    one_model, one = trained(train_with_fit, task, values, **options)
    other_model, other = trained(train_in_graph, task, values, **options)
    assert len(one.history) == len(other.history)
    for ours, theirs in zip(one.history, other.history, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert ours[name] == pytest.approx(theirs[name], rel=2e-4, abs=2e-5), name
    assert (one.best_epoch, one.pruned) == (other.best_epoch, other.pruned)
    for ours, theirs in zip(one_model.get_weights(), other_model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    return one


OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "ftrl", "lion", "adafactor")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_trains_alike(optimizer):
    """Optimizers do the same steps in every trainer."""
    assert_same(REGRESSION, {"optimizer": optimizer, "learning_rate": 0.01})


@pytest.mark.parametrize(
    "values",
    [
        {"dropout": 0.4, "activation": "softplus"},
        # A bias in front of a normalisation has no gradient but rounding.
        {"batch_normalization": True, "use_bias": False, "l1": 1e-3, "l2": 1e-2},
        {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "clip": "global_norm", "clip_threshold": 0.05},
        {"schedule": "cosine", "warmup_epochs": 1, "label_smoothing": 0.2, "epochs": 3},
        {"schedule": "piecewise", "use_ema": True, "depth": 0, "epochs": 3},
    ],
    ids=",".join,
)
def test_every_concept_trains_alike(values):
    """What a trial declares has the same effect in every trainer; random layers draw the same numbers."""
    assert_same(MULTICLASS, values, epochs=values.get("epochs", 2))


@pytest.mark.parametrize("task", [BINARY, MULTICLASS, LABELS, REGRESSION], ids=lambda task: task.kind)
def test_every_task_trains_alike(task):
    """Losses and metrics of each task come out the same, with a last batch that is partial."""
    assert_same(task, {}, counts=LAST_IS_PARTIAL)


def test_class_weights_train_alike():
    """Rows weigh by their class in every trainer."""
    weighted = TrainingSpec(class_weight={"no": 1.0, "yes": 7.0})
    ours = assert_same(BINARY, {}, training=weighted)
    _, plain = trained(train_with_fit, BINARY, {})
    assert plain.history[0]["loss"] != pytest.approx(ours.history[0]["loss"], rel=0.05)


@pytest.mark.parametrize("task", [MULTICLASS, REGRESSION], ids=lambda task: task.kind)
def test_weights_of_rows_train_alike(task):
    """Rows weigh as much as they say, times their class, in the loss and the weighted metrics of every trainer."""
    training = TrainingSpec(
        weighted_metrics=["mean_squared_error"], class_weight={"a": 1.0, "b": 7.0} if task.classes else None
    )
    assert_same(replace(task, is_weighted=True), {}, training=training, counts=LAST_IS_PARTIAL)


def test_the_loss_of_validation_rows_is_weighted():
    """It is the sum of weight times loss over the number of rows, as Keras has it."""
    task = replace(REGRESSION, is_weighted=True)
    model, fitted = trained(train_in_graph, task, {"depth": 0}, epochs=1)
    rows = rows_of(task).validation
    squares = ((model.predict(rows.x, verbose=0) - rows.y) / 3.0)[:, 0] ** 2
    assert fitted.history[0]["val_loss"] == pytest.approx(np.mean(squares * rows.sample_weight), rel=1e-4)


def test_embedded_columns_train_alike():
    """Coded columns reach their embeddings in every trainer."""
    assert_same(REGRESSION, {}, features=Features(dense=WIDTH, codes=(("city", 7), ("job", 4))))


def test_augmented_images_train_alike():
    """A convolutional network with augmentation sees the same pictures in every trainer."""
    assert_same(
        MULTICLASS,
        {"blocks": 1, "filters": 4, "dense_units": 0, "rotation": 0.1, "flip": "horizontal", "zoom": 0.1},
        features=Features(image=(6, 6, 1)),
        family="cnn",
    )


NOTES = Features(dense=2, text=(("text_1", 6, 9),))
READINGS = Features(codes=(("site", 3),), series=(6, 2))


@pytest.mark.parametrize(
    ("family", "features", "values"),
    [
        ("text", NOTES, {"architecture": "gru", "word_dropout": 0.2, "bidirectional": True}),
        ("text", NOTES, {"architecture": "transformer", "heads": 2, "dropout": 0.1}),
        ("series", READINGS, {"architecture": "conv", "depth": 1, "batch_normalization": True, "use_bias": False}),
        ("series", READINGS, {"architecture": "lstm", "depth": 1, "window": 4}),
        ("mlp", NOTES, {"depth": 1}),
    ],
    ids=lambda value: value.get("architecture", "") if isinstance(value, dict) else "",
)
def test_sequences_train_alike(family, features, values):
    """Recurrent, convolutional and attention layers do the same steps in every trainer."""
    assert_same(REGRESSION, values, features=features, family=family)


def test_a_frozen_backbone_trains_alike(monkeypatch):
    """The backbone waits for its epoch, and then learns more slowly, in every trainer."""

    def build_small(include_top, weights, input_shape):
        taken = keras.Input(input_shape)
        return keras.Model(taken, keras.layers.Conv2D(3, 8, strides=8, name="first")(taken), name="small")

    small = Backbone(build_small, keras.applications.mobilenet_v2.preprocess_input)
    monkeypatch.setitem(backbones.BACKBONES, "mobilenet_v2", small)
    values = {"frozen_epochs": 1, "fine_tune_factor": 0.3, "optimizer": "adamw"}
    assert_same(MULTICLASS, values, features=Features(image=(32, 32, 1)), family="transfer")


@pytest.mark.parametrize("trainer", [train_with_fit, train_in_graph])
def test_pruning_ends_a_training_at_once(trainer):
    """A pruned training ends with the epoch that was answered with "prune"."""
    _, fitted = trained(trainer, REGRESSION, {}, epochs=6, prune_at=1)
    assert fitted.pruned
    assert len(fitted.history) == 2


@pytest.mark.parametrize("trainer", [train_with_fit, train_in_graph])
def test_batches_are_recorded(trainer):
    """A listener receives batches, so that a hang is distinguished from work."""
    model = build_hypermodel("mlp", ModelContext(DENSE, REGRESSION, TrainingSpec(), WHOLE_BATCHES[0])).build(
        TrialHyperParameters({"batch_size": BATCH_SIZE, "epochs": 1, "optimizer": "sgd"})
    )
    model.run_eagerly = trainer is train_with_fit
    listener, schedule = Quiet(), Schedule(1, BATCH_SIZE, None, 0.0, seed=1)
    trainer(model, rows_of(REGRESSION), schedule, metric="val_loss", direction="minimize", listener=listener)
    assert listener.batches >= 2


@pytest.mark.parametrize("is_weighted", [False, True])
def test_several_heads(is_weighted):
    """Each head reports its loss and metrics, the loss is their weighted sum, and rows may have weights."""
    training = TrainingSpec.model_validate({"heads": {"size": {"weight": 0.5, "loss": "huber"}}})
    fitted = assert_same(HEADS.with_weights(is_weighted=is_weighted), {}, training=training, counts=LAST_IS_PARTIAL)
    last = fitted.history[-1]
    assert last["val_loss"] == pytest.approx(last["val_kind_loss"] + 0.5 * last["val_size_loss"], rel=1e-5)
    assert ("val_kind_weighted_accuracy" in last) is is_weighted
    assert "val_size_root_mean_squared_error" in last


@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_classes_of_a_head_weigh_in_its_loss_alone(is_weighted):
    """Classes of weight 2 train as a head of weight 2, and nothing is scored by them."""
    task = HEADS.with_weights(is_weighted=is_weighted)
    by_class = {"heads": {"kind": {"class_weight": {"a": 2.0, "b": 2.0, "c": 2.0}}}}
    one = assert_same(task, {}, training=TrainingSpec.model_validate(by_class), counts=LAST_IS_PARTIAL)
    by_head = TrainingSpec.model_validate({"heads": {"kind": {"weight": 2.0}}})
    _, other = trained(train_in_graph, task, {}, training=by_head, counts=LAST_IS_PARTIAL)
    first, second = one.history[-1], other.history[-1]
    assert first["kind_loss"] == pytest.approx(2 * second["kind_loss"], rel=1e-4)
    for name in ("loss", "size_loss", "val_kind_loss", "val_size_loss", "val_kind_accuracy"):
        assert first[name] == pytest.approx(second[name], rel=1e-4), name
    assert first["val_loss"] == pytest.approx(first["val_kind_loss"] + first["val_size_loss"], rel=1e-5)


def picture_rows(count):
    """Return pictures that are stored as bytes, and their classes."""
    random = np.random.default_rng(count)
    stored = random.integers(0, 256, (count, 6, 6, 2), dtype=np.uint8)
    x = {"image": PictureRows(stored, np.float32([120.3, 9.1]), np.float32([1 / 70.7, 1 / 31.0]))}
    return Examples(x, random.integers(0, 3, count).astype("int32"))


@pytest.mark.parametrize("way", ["fit", "graph", "streamed"])
def test_stored_pictures_train_as_numbers_do(way, tmp_path):
    """The same history and the same weights, to the bit, whichever trainer widens them."""
    features, found = Features(image=(6, 6, 2)), []
    values = {"batch_size": BATCH_SIZE, "epochs": 2, "blocks": 1, "filters": 4, "dense_units": 0, "optimizer": "adam"}
    stored = picture_rows(LAST_IS_PARTIAL[0]), picture_rows(LAST_IS_PARTIAL[1])
    for parts in (stored, [replace(part, x=map_leaves(widen, part.x)) for part in stored]):
        keras.utils.set_random_seed(11)
        hp = TrialHyperParameters(values)
        model = build_hypermodel("cnn", ModelContext(features, MULTICLASS, TrainingSpec(), 36)).build(hp)
        rows = Rows(*parts, None, Streaming("blocks", tmp_path) if way == "streamed" else None)
        trainer, schedule = train_in_graph if way == "graph" else train_with_fit, Schedule(2, BATCH_SIZE, None, 0.0, 11)
        fitted = trainer(model, rows, schedule, metric="val_loss", direction="minimize", listener=Quiet())
        found.append((fitted.history, b"".join(weight.tobytes() for weight in model.get_weights())))
    assert found[0] == found[1]
