"""Objectives, metrics and settings of several targets with a head each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.data.prepared import Task
from pipelines.models.head_objectives import (
    add_metrics,
    calculate_head_weights,
    check_heads,
    explain_open_metric,
    find_direction,
    find_head_metric,
    get_weight,
    list_notes,
    list_reported,
    make_training,
    resolve_objective,
)
from pipelines.spec.schema import ObjectiveSpec, TrainingSpec
from search_spaces.errors import InputError

PRICE = Task("regression", ("price",), target_mean=(9.0,), target_scale=(3.0,), output="price")
SOLD = Task("binary", ("is sold",), classes=("no", "yes"), class_counts=(5, 5), output="is_sold")
TASK = Task("multi_task", ("price", "is sold"), heads=(SOLD, PRICE))


def training(**keys):
    return TrainingSpec.model_validate(keys)


def test_each_head_reports_its_metrics_behind_its_name():
    """`loss` is the sum of all; the rest has the name of the head, and `val_` before it on validation rows."""
    found = list_reported(TASK, training(heads={"is sold": {"metrics": ["recall"]}}))
    bare = ["loss", "is_sold_loss", "is_sold_accuracy", "is_sold_auc", "is_sold_recall"]
    bare += ["price_loss", "price_root_mean_squared_error", "price_mean_absolute_error"]
    assert list(found) == [*bare, *(f"val_{name}" for name in bare)]


def test_rows_with_weights_are_reported_with_them():
    found = list_reported(TASK.with_weights(is_weighted=True), training())
    assert {"val_is_sold_weighted_accuracy", "val_price_weighted_mean_absolute_error"} < set(found)
    settings = training(heads={"is sold": {"metrics": ["recall"]}})
    found = list_reported(TASK.with_weights(is_weighted=True), settings)
    assert {"val_is_sold_recall", "val_is_sold_weighted_recall"} < set(found)


def test_the_default_objective_is_the_sum_of_losses():
    """No head's metric stands for the others; a declared one has its own direction."""
    assert resolve_objective(TASK, training(), None) == ("val_loss", "minimize")
    declared = ObjectiveSpec(metric="val_is_sold_auc")
    assert resolve_objective(TASK, training(), declared) == ("val_is_sold_auc", "maximize")
    assert find_direction(TASK, "val_price_loss") == "minimize"
    assert find_direction(TASK, "val_price_nothing") is None


@pytest.mark.parametrize(
    ("metric", "added"),
    [
        ("val_is_sold_recall", {"is sold": ["precision", "recall"]}),
        ("val_price_r2_score", {"is sold": ["precision"], "price": ["r2_score"]}),
        ("val_is_sold_precision", {"is sold": ["precision"]}),
        ("val_loss", {"is sold": ["precision"]}),
    ],
)
def test_an_objectives_metric_is_reported_by_its_head(metric, added):
    """The head gets the metric that an objective names, beside those that are declared."""
    found = add_metrics(TASK, training(heads={"is sold": {"metrics": ["precision"]}}), [metric])
    assert {name: head.metrics for name, head in found.heads.items()} == added
    assert metric in list_reported(TASK, found)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("val_price_recall", "each target has a head"),
        ("val_accuracy", "each target has a head"),
        ("val_is_sold_acuracy", 'did you mean "val_is_sold_accuracy"'),
    ],
)
def test_an_objective_that_is_not_reported(metric, expected):
    with pytest.raises(InputError) as refused:
        resolve_objective(TASK, training(), ObjectiveSpec(metric=metric))
    [problem] = refused.value.problems
    assert (problem.path, expected in problem.message) == ("objective.metric", True), problem.message


def test_the_longest_head_counts():
    """`sold_out_loss` belongs to `sold_out` and not to `sold`."""
    heads = tuple(Task("binary", (name,), ("no", "yes"), output=name) for name in ("sold", "sold_out"))
    found = find_head_metric(Task("multi_task", ("sold", "sold_out"), heads=heads), "val_sold_out_loss")
    assert (found.head.output, found.metric) == ("sold_out", "val_loss")


def test_a_head_trains_as_its_target_alone():
    """Its settings are those of `training.heads`, by the column's name."""
    settings = training(heads={"is sold": {"loss": "hinge", "weight": 0.5}})
    assert make_training(SOLD, settings).loss == "hinge"
    assert make_training(PRICE, settings) == TrainingSpec()
    assert [get_weight(head, settings) for head in (SOLD, PRICE)] == [0.5, 1.0]


def test_classes_weigh_by_head():
    """Each head has the weights of its classes; without any, all rows weigh alike."""
    rare = replace(SOLD, class_counts=(9, 1))
    task = replace(TASK, heads=(rare, PRICE))
    found = calculate_head_weights(task, training(heads={"is sold": {"class_weight": "balanced"}}))
    assert found == {"is_sold": {0: pytest.approx(10 / 18), 1: 5.0}}
    assert calculate_head_weights(task, training(heads={"is sold": {"weight": 2.0}})) is None


@pytest.mark.parametrize(
    ("keys", "path", "expected"),
    [
        ({"loss": "huber"}, "training.loss", "set training.heads: {price: {loss: ...}}"),
        ({"metrics": ["auc"]}, "training.metrics", "set training.heads: {price: {metrics: ...}}"),
        ({"class_weight": "balanced"}, "training.class_weight", "set training.heads: {price: {class_weight: ...}}"),
        ({"heads": {"price": {"class_weight": "balanced"}}}, "training.heads.price.class_weight", "has no classes"),
        ({"heads": {"is sold": {"class_weight": {"maybe": 2}}}}, "training.heads.is sold.class_weight", "is no class"),
        ({"weighted_metrics": ["auc"]}, "training.weighted_metrics", "remove this key"),
        ({"heads": {"prize": {}}}, "training.heads.prize", 'did you mean "price"'),
        ({"heads": {"price": {"loss": "hinge"}}}, "training.heads.price.loss", "does not fit a regression task"),
        ({"heads": {"price": {"metrics": ["mean_squared_error", "auc"]}}}, "training.heads.price.metrics[1]", "auc"),
    ],
)
def test_settings_that_do_not_fit(keys, path, expected):
    """The message names the key, and what to write instead."""
    with pytest.raises(InputError) as refused:
        check_heads(TASK, training(**keys))
    [problem] = refused.value.problems
    assert (problem.path, expected in problem.message) == (path, True), problem.message


def test_notes_name_weights_and_objective():
    """They state what is decided, in the order of the targets, with the keys that change it."""
    weights, objective = list_notes(TASK, training(heads={"is sold": {"weight": 2.0}}), None)
    assert weights.startswith("the heads' losses are summed with the weights price 1, is sold 2")
    assert "numbers standardised" in weights
    assert objective == (
        "the objective is val_loss, that weighted sum; objective.metric: val_is_sold_accuracy scores by one head"
    )


def test_a_target_in_its_unit_may_outweigh_the_others():
    """Without `data.scale_target` a loss has the size of the target, which a note states."""
    plain = Task("regression", ("price",), target_mean=(0.0,), target_scale=(1.0,), output="price")
    notes = list(list_notes(Task("multi_task", TASK.targets, heads=(SOLD, plain)), training(), None))
    assert any("training.heads: {price: {weight: ...}}" in note for note in notes)


@pytest.mark.parametrize(
    ("metric", "is_possible"),
    [("val_loss", True), ("val_a_auc", True), ("a_weighted_auc", True), ("val_c_auc", False), ("val_a_acc", False)],
)
def test_a_metric_before_the_data_is_read(metric, is_possible):
    """Tasks are open then: a head's name before any of Keras's metrics may be reported."""
    assert (explain_open_metric(metric, ["a", "b"]) == "") is is_possible
