"""Sizes by arithmetic are those of the built models."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.data.prepared import DataSummary, Features, Task
from pipelines.models.build import build_hypermodel
from pipelines.models.catalogue import find_family
from pipelines.models.context import ModelContext
from pipelines.models.objectives import resolve_loss
from pipelines.spec.schema import TrainingSpec
from pipelines.training.errors import ModelTooLargeError
from pipelines.training.fleet.member import ELEMENTWISE_OPTIMIZERS, build_member
from pipelines.training.fleet.model_arithmetic import calculate_model, count_parameters, estimate_memory
from pipelines.training.messages import TrialJob
from pipelines.training.model_size import estimate_training_memory, refuse_large_model
from search_spaces.errors import InputError
from search_spaces.hyperparameters import TrialHyperParameters

FEATURES = Features(dense=3, codes=(("city", 7), ("street", 400)))
CLASSES = Task("multiclass", ("y",), classes=("a", "b", "c"), class_counts=(9, 9, 9))
BINARY = Task("binary", ("y",), classes=("a", "b"))
NUMBERS = Task("multi_output_regression", ("y", "z"), target_mean=(0.0, 1.0), target_scale=(1.0, 2.0))
DEEP = {"depth": 3, "units_1": 5, "units_2": 7, "units_3": 2, "dropout_2": 0.5, "dropout_1": 0.0}
STRUCTURES = {
    "default": ({}, FEATURES, CLASSES, "auto"),
    "linear": ({"depth": 0}, FEATURES, BINARY, "auto"),
    "linear-one-column": ({"depth": 0}, Features(dense=1), BINARY, "auto"),
    "per-layer": (DEEP, FEATURES, CLASSES, "auto"),
    "no-bias": ({"use_bias": False, "batch_normalization": True, "units": 4}, FEATURES, BINARY, "auto"),
    "dropout": ({"dropout": 0.25, "batch_normalization": True}, FEATURES, NUMBERS, "auto"),
    "wide-embedding": ({"embedding_dim": 9}, FEATURES, CLASSES, "auto"),
    "one-code": ({}, Features(codes=(("city", 7),)), CLASSES, "auto"),
    "codes-alone": ({}, Features(codes=(("a", 3), ("b", 4))), CLASSES, "auto"),
    "picture": ({}, Features(image=(4, 5, 3)), CLASSES, "auto"),
    "picture-and-numbers": ({}, Features(dense=2, image=(4, 5, 3)), CLASSES, "auto"),
    "all-forms": ({}, Features(dense=2, codes=(("a", 3),), image=(4, 5, 1)), CLASSES, "auto"),
    "regression": ({"activation": "tanh"}, FEATURES, NUMBERS, "mean_squared_error"),
    "positive": ({"l1": 0.1, "l2": 0.1}, FEATURES, NUMBERS, "poisson"),
    "margins": ({}, FEATURES, CLASSES, "hinge"),
    "warmup": ({"warmup_epochs": 2}, FEATURES, BINARY, "auto"),
    "cosine": ({"schedule": "cosine", "clip": "norm", "label_smoothing": 0.1}, FEATURES, BINARY, "auto"),
}
OPTIMIZERS = {
    **{name: {"optimizer": name} for name in sorted(ELEMENTWISE_OPTIMIZERS)},
    "sgd-momentum": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    "rmsprop-all": {"optimizer": "rmsprop", "momentum": 0.5, "centered": True},
    "amsgrad": {"optimizer": "adamw", "amsgrad": True},
    "averaged": {"optimizer": "nadam", "use_ema": True, "schedule": "exponential"},
    "decay": {"optimizer": "sgd", "weight_decay": 0.1, "use_ema": True},
}


BLOCKS = {
    "default": {},
    "one": {"blocks": 1, "filters": 7, "global_pooling": "flatten", "kernel_size": 5},
    "per-layer": {"blocks": 2, "filters_1": 3, "filters_2": 6, "dropout_1": 0.1, "dropout_2": 0.0},
    "normalized": {"blocks": 4, "batch_normalization": True, "use_bias": False, "dropout": 0.2},
    "dense": {"dense_units": 5, "blocks": 2, "batch_normalization": True, "dropout": 0.2, "global_pooling": "flatten"},
    "convolutions": {"convolutions_per_block": 3, "pooling": "average", "kernel_size_1": 5, "kernel_size_2": 2},
    "strided": {"convolutions_per_block": 2, "pooling": "stride", "blocks": 3, "dropout": 0.1, "dense_units": 4},
    "strided-flat": {"pooling": "stride", "blocks": 4, "global_pooling": "flatten", "batch_normalization": True},
}


def build(values, features, task, training, family="mlp"):
    per_layer = find_family(family).find_per_layer(values)
    context = ModelContext(features, task, training, train_rows=64, per_layer=per_layer)
    model = build_hypermodel(family, context).build(TrialHyperParameters(values))
    return model, build_member(values, per_layer, family)


def assert_equal_sizes(values, features, task, loss, family="mlp"):
    training = TrainingSpec() if loss == "auto" else TrainingSpec(loss=loss)
    model, member = build(values, features, task, training, family)
    trainable = sum(weight.value.numpy().size for weight in model.trainable_weights)
    assert count_parameters(member, features, task.outputs) == (trainable, model.count_params())
    estimate = estimate_memory(member, features, task, resolve_loss(task.kind, training))
    assert estimate == estimate_training_memory(model, member.batch_size)


@pytest.mark.parametrize(("values", "features", "task", "loss"), STRUCTURES.values(), ids=STRUCTURES)
def test_structures(values, features, task, loss):
    """Weights and memory of every structure that fleets train."""
    assert_equal_sizes(values, features, task, loss)


@pytest.mark.parametrize("values", BLOCKS.values(), ids=BLOCKS)
def test_blocks_of_convolutions(values):
    """Weights and memory of convolutions that fleets train; of an odd side a pixel is left out, a side of 1 stays."""
    assert_equal_sizes({"dense_units": 0, **values}, Features(image=(9, 4, 3)), CLASSES, "auto", "cnn")


@pytest.mark.parametrize("values", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers(values):
    """Memory with the state of every optimizer that fleets train with."""
    assert_equal_sizes({**values, "depth": 1, "units": 3, "batch_size": 7}, FEATURES, CLASSES, "auto")


SUMMARY = DataSummary("d.csv", CLASSES, FEATURES, (), {"train": 64}, 1, "", {})
LARGE = {"units": 100, "depth": 2, "epochs": 7}


def make_job(**changes) -> TrialJob:
    job = TrialJob(
        study="s",
        number=0,
        values=LARGE,
        per_layer=frozenset(),
        seed=0,
        model="mlp",
        training=TrainingSpec(),
        data="",
        folder="",
        metric="val_loss",
        direction="minimize",
        rungs=frozenset(),
    )
    return replace(job, **changes)


def test_a_model_above_the_ceiling_is_refused_in_the_same_words():
    """The reason is that of the built model; one far above the ceiling, whose build would stop, is built."""
    model, _ = build(LARGE, FEATURES, CLASSES, TrainingSpec())
    job = make_job(most_parameters=model.count_params() - 1)
    with pytest.raises(ModelTooLargeError) as refused:
        refuse_large_model(job, model, 32)
    found = calculate_model(job, SUMMARY, 10**10)
    assert found is not None
    assert found.refused == str(refused.value)
    assert calculate_model(replace(job, most_parameters=100), SUMMARY, 10**10) is None
    whole = calculate_model(replace(job, most_parameters=model.count_params()), SUMMARY, 10**10)
    assert whole is not None
    assert (whole.parameters, whole.epochs, whole.refused) == (model.count_params(), 7, "")


@pytest.mark.parametrize(
    "values",
    [
        {"units": 0},
        {"units": 2.5},
        {"depth": True},
        {"optimizer": "adem"},
        {"optimizer": "muon"},
        {"activation": "glu"},
        {"dropout": 1.0},
        {"batch_size": 0},
        {"schedule": "piecewise"},
        {"units": 10**6, "depth": 2},
        {"no_such": 1},
    ],
    ids=str,
)
def test_whatever_a_build_may_refuse_is_built(values):
    """Nothing that is not plainly good is decided by arithmetic."""
    assert calculate_model(make_job(values=values), SUMMARY, 10**10) is None


def test_data_and_training_that_a_build_refuses():
    """What depends on no value is refused as by a build."""
    for wrong in (replace(SUMMARY, features=Features()), replace(SUMMARY, task=NUMBERS)):
        job = make_job(training=TrainingSpec(class_weight="balanced"))
        with pytest.raises(InputError) as built:
            build(LARGE, wrong.features, wrong.task, job.training)
            # `build_trial` weighs the classes.
            from pipelines.models.objectives import calculate_class_weights

            calculate_class_weights(wrong.task, job.training)
        with pytest.raises(InputError) as calculated:
            calculate_model(job, wrong, 10**10)
        assert str(calculated.value) == str(built.value)
