"""Losses, metrics, objectives and class weights by name."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from pipelines.data.prepared import Task
from pipelines.models.objectives import (
    LOSSES,
    METRICS,
    add_metrics,
    calculate_class_weights,
    check_weights_act,
    find_default_objective,
    find_direction,
    list_reported_metrics,
    note_default_objective,
    note_unweighted_objective,
    resolve_loss,
    resolve_metrics,
    resolve_objective,
    resolve_weighted_metrics,
)
from pipelines.spec.schema import ObjectiveSpec, TrainingSpec
from search_spaces.errors import InputError

ANIMALS = Task("multiclass", ("animal",), classes=("cat", "dog", "emu"), class_counts=(50, 30, 20))


@pytest.mark.parametrize(
    ("kind", "loss", "metrics", "objective"),
    [
        ("binary", "binary_crossentropy", ("accuracy", "auc"), ("val_accuracy", "maximize")),
        ("multiclass", "sparse_categorical_crossentropy", ("accuracy",), ("val_accuracy", "maximize")),
        (
            "regression",
            "mean_squared_error",
            ("root_mean_squared_error", "mean_absolute_error"),
            ("val_root_mean_squared_error", "minimize"),
        ),
        (
            "multi_output_regression",
            "mean_squared_error",
            ("root_mean_squared_error", "mean_absolute_error"),
            ("val_root_mean_squared_error", "minimize"),
        ),
    ],
)
def test_a_task_brings_its_loss_metrics_and_objective(kind, loss, metrics, objective):
    """A study that names none of them gets those of its task."""
    assert resolve_loss(kind, TrainingSpec()) == loss
    assert resolve_metrics(kind, TrainingSpec()) == metrics
    assert find_default_objective(kind) == objective
    assert resolve_objective(kind, TrainingSpec(), None) == objective


def test_reported_metrics_are_the_loss_and_all_metrics_on_both_parts():
    """What an objective may name: loss and metrics, each also with `val_`, declared ones after the task's."""
    assert list_reported_metrics("multiclass", TrainingSpec(metrics=["f1_score", "accuracy"])) == (
        *("loss", "accuracy", "f1_score"),
        *("val_loss", "val_accuracy", "val_f1_score"),
    )


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("val_accuracy", "maximize"),
        ("auc", "maximize"),
        ("val_r2_score", "maximize"),
        ("loss", "minimize"),
        ("val_root_mean_squared_error", "minimize"),
        ("val_false_positives", "minimize"),
        ("val_weighted_auc", "maximize"),
        ("weighted_mean_absolute_error", "minimize"),
        ("speed", None),
    ],
)
def test_the_direction_of_a_metric_is_known(metric, direction):
    """A metric's direction need not be written; of an unknown name nothing is claimed."""
    assert find_direction(metric) == direction


def test_rows_with_weights_are_scored_by_weight():
    """Where rows have weights, the task's metrics are reported with them too, and the default objective uses them."""
    assert find_default_objective("binary", is_weighted=True) == ("val_weighted_accuracy", "maximize")
    assert find_default_objective("regression", is_weighted=True) == (
        "val_weighted_root_mean_squared_error",
        "minimize",
    )
    training = TrainingSpec(metrics=["recall"], weighted_metrics=["precision", "recall"])
    assert list_reported_metrics("multiclass", training, is_weighted=True) == (
        *("loss", "accuracy", "recall", "weighted_accuracy", "precision", "weighted_recall"),
        *("val_loss", "val_accuracy", "val_recall", "val_weighted_accuracy", "val_precision", "val_weighted_recall"),
    )
    written = ObjectiveSpec(metric="val_weighted_recall")
    assert resolve_objective("multiclass", training, written, is_weighted=True) == ("val_weighted_recall", "maximize")


@pytest.mark.parametrize(
    ("training", "is_weighted", "message"),
    [
        ({"loss": "dice"}, True, "training.loss: dice is one number for a whole batch and cannot weigh rows"),
        ({"weighted_metrics": ["auc"]}, False, "training.weighted_metrics: the rows have no weights; name their"),
        ({"loss": "dice"}, False, None),
        ({"weighted_metrics": ["auc"], "class_weight": "balanced"}, False, None),
        ({"weighted_metrics": ["auc"]}, True, None),
    ],
)
def test_weights_that_cannot_act_are_refused(training, is_weighted, message):
    """Weights need a loss that is a mean over rows, and weighted metrics need weights."""
    with pytest.raises(InputError, match=message) if message else nullcontext():
        check_weights_act(TrainingSpec(**training), is_weighted=is_weighted)


def test_every_shipped_metric_has_a_direction():
    """No metric on offer leaves the direction open."""
    assert all(find_direction(f"val_{name}") for names in METRICS.values() for name in names)


def test_an_objective_may_turn_its_direction_round():
    """A declared direction overrides the known one."""
    written = ObjectiveSpec(metric="val_loss", direction="maximize")
    assert resolve_objective("binary", TrainingSpec(), written) == ("val_loss", "maximize")
    assert resolve_objective("binary", TrainingSpec(), ObjectiveSpec(metric="val_loss")) == ("val_loss", "minimize")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: resolve_loss("binary", TrainingSpec(loss="binary_crossentropie")),
            r'training.loss: there is no loss "binary_crossentropie"; '
            r'did you mean "binary_crossentropy"',
        ),
        (
            lambda: resolve_loss("regression", TrainingSpec(loss="categorical_crossentropy")),
            r'loss "categorical_crossentropy" does not fit a regression task; .*choices are: huber',
        ),
        (
            lambda: resolve_metrics("regression", TrainingSpec(metrics=["r2_score", "accuracy"])),
            r'training.metrics\[1\]: metric "accuracy" does not fit a regression task',
        ),
        (
            lambda: resolve_weighted_metrics("binary", TrainingSpec(weighted_metrics=["acuracy"]), is_weighted=True),
            r'training.weighted_metrics\[0\]: there is no metric "acuracy"; did you mean "accuracy"',
        ),
        (
            lambda: resolve_objective("binary", TrainingSpec(), ObjectiveSpec(metric="val_weighted_recall")),
            r'does not report "val_weighted_recall": the rows have no weights; name their column as data.weight',
        ),
        (
            lambda: resolve_objective("binary", TrainingSpec(), ObjectiveSpec(metric="val_acuracy")),
            r'objective.metric: training never reports "val_acuracy"; did you mean "val_accuracy"',
        ),
        (
            lambda: resolve_objective("binary", TrainingSpec(), ObjectiveSpec(metric="val_f1")),
            r'never reports "val_f1"; did you mean "val_f1_score"\?',
        ),
        (
            lambda: resolve_objective("regression", TrainingSpec(), ObjectiveSpec(metric="val_balanced_accuracy")),
            r'"val_balanced_accuracy" scores another task \(binary, multiclass\); .*root_mean_squared_error',
        ),
        (
            lambda: resolve_metrics("multi_label", TrainingSpec(metrics=["balanced_accuracy"])),
            r'metric "balanced_accuracy" does not fit a multi_label task; .*binary_accuracy',
        ),
    ],
)
def test_names_that_do_not_fit_are_refused_with_the_nearest(call, message):
    """Bad names give the key, the task, and the nearest right word."""
    with pytest.raises(InputError, match=message):
        call()


def test_circle_and_ctc_are_the_only_losses_of_keras_left_out():
    """Every Keras loss that a task here can train with is on offer."""
    import keras

    from pipelines.models.losses import LOSS_CLASSES

    theirs = {found for found in vars(keras.losses).values() if inspect_is_loss(found, keras)}
    assert theirs - set(LOSS_CLASSES.values()) == {keras.losses.CTC, keras.losses.Circle}
    assert set(LOSS_CLASSES) == {name for names in LOSSES.values() for name in names}


def inspect_is_loss(found, keras):
    return isinstance(found, type) and issubclass(found, keras.losses.Loss) and found is not keras.losses.Loss


def test_balanced_weights_make_classes_weigh_the_same_in_sum():
    """`balanced` gives rows / (classes x count), so that count x weight is equal over classes."""
    weights = calculate_class_weights(ANIMALS, TrainingSpec(class_weight="balanced"))
    sums = [weights[index] * count for index, count in enumerate(ANIMALS.class_counts)]
    assert sums == pytest.approx([100 / 3] * 3)


def test_named_weights_go_to_their_class_and_others_weigh_one():
    """Weights by class name become weights by index."""
    assert calculate_class_weights(ANIMALS, TrainingSpec(class_weight={"emu": 5.0})) == {0: 1.0, 1: 1.0, 2: 5.0}
    assert calculate_class_weights(ANIMALS, TrainingSpec()) is None


@pytest.mark.parametrize(
    ("task", "training", "message"),
    [
        (ANIMALS, {"class_weight": {"emus": 5.0}}, r'"emus" is no class of the target; did you mean "emu"'),
        (ANIMALS, {"class_weight": {"cat": 0.0, "dog": 0.0, "emu": 0.0}}, "at least one class with a weight above 0"),
        (ANIMALS, {"class_weight": "balanced", "loss": "dice"}, "dice is one number for a whole batch"),
        (Task("regression", ("y",)), {"class_weight": "balanced"}, "a regression task has no classes to weigh"),
    ],
)
def test_unusable_class_weights_are_refused(task, training, message):
    """Weights of unknown classes and weights where none can act are refused."""
    with pytest.raises(InputError, match=message):
        calculate_class_weights(task, TrainingSpec(**training))


@pytest.mark.parametrize(
    ("metric", "advice"),
    [
        ("val_accuracy", "objective.metric: val_weighted_accuracy weighs them"),
        ("val_recall", "objective.metric: val_weighted_recall weighs them"),
    ],
)
def test_note_on_an_objective_that_weighs_no_row(metric, advice):
    """An objective that counts rows alike is noted where they have weights, with the name that weighs them."""
    training = TrainingSpec(metrics=["recall"], weighted_metrics=["precision"])
    (note,) = note_unweighted_objective("binary", training, ObjectiveSpec(metric=metric))
    assert note.endswith(advice)
    for weighted in ("val_loss", "val_precision", "val_weighted_accuracy"):
        assert note_unweighted_objective("binary", training, ObjectiveSpec(metric=weighted)) == []


def test_a_rare_class_is_scored_by_auc():
    """Accuracy is high for a model that never predicts it; a declared objective stays."""
    for kind in ("binary", "multiclass"):
        assert find_default_objective(kind, default_metric="auc") == ("val_auc", "maximize")
        weighted = find_default_objective(kind, is_weighted=True, default_metric="auc")
        assert weighted == ("val_weighted_auc", "maximize")
        declared = ObjectiveSpec(metric="val_accuracy")
        found = resolve_objective(kind, TrainingSpec(), declared, default_metric="auc")
        assert found == ("val_accuracy", "maximize")


def test_a_rare_class_is_noted_with_the_objective_and_its_key():
    """The note names the metric that was chosen and the one that undoes it; without a rare class there is none."""
    (note,) = note_default_objective(replace(ANIMALS, default_metric="auc"))
    assert note.startswith("the objective is val_auc, the mean area") and note.endswith(
        "objective.metric: val_accuracy changes that"
    )
    (note,) = note_default_objective(Task("binary", ("y",), default_metric="auc", is_weighted=True))
    assert "is val_weighted_auc, the area under" in note and "objective.metric: val_weighted_accuracy" in note
    assert list(note_default_objective(ANIMALS)) == []


@pytest.mark.parametrize(
    ("objective", "is_weighted", "metrics", "weighted"),
    [
        ("val_auc", False, ["recall", "auc"], []),
        ("val_weighted_auc", True, ["recall", "auc"], ["auc"]),
        ("balanced_accuracy", False, ["recall", "balanced_accuracy"], []),
        ("val_accuracy", False, ["recall"], []),
        ("val_loss", True, ["recall"], []),
        ("parameters", False, ["recall"], []),
        ("val_weighted_auc", False, ["recall"], []),
    ],
)
def test_an_objectives_metric_is_reported_without_another_key(objective, is_weighted, metrics, weighted):
    """Training gets the metric that an objective names, and nothing where it reports that already, or never can."""
    found = add_metrics("multiclass", TrainingSpec(metrics=["recall"]), [objective], is_weighted=is_weighted)
    assert (found.metrics, found.weighted_metrics) == (metrics, weighted)
    if metrics != ["recall"]:
        assert objective in list_reported_metrics("multiclass", found, is_weighted=is_weighted)
        written = ObjectiveSpec(metric=objective)
        assert resolve_objective("multiclass", TrainingSpec(), written, is_weighted=is_weighted)[1] == "maximize"
