"""Descriptions of prepared data."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from pipelines.data.prepared import Task, choose_default_metric


@pytest.mark.parametrize(
    ("task", "outputs"),
    [
        (Task("binary", ("y",), classes=("no", "yes")), 1),
        (Task("multiclass", ("y",), classes=("a", "b", "c")), 3),
        (Task("regression", ("y",)), 1),
        (Task("multi_output_regression", ("y", "z")), 2),
        (Task("custom", ("y",), classes=("1", "2")), 0),
    ],
)
def test_a_task_has_the_width_of_its_output(task, outputs):
    """One probability for two classes, one for each of more, one number a target; a user model decides itself."""
    assert task.outputs == outputs


@pytest.mark.parametrize(
    ("counts", "is_rare"),
    [((990, 10), True), ((90, 10), False), ((10,) * 40, False), ((500, 480, 20), True), ((), False)],
)
def test_a_rare_class(counts, is_rare):
    """Less than one training row in twenty, far below an equal share; many equal classes are not rare."""
    assert Task("multiclass", ("y",), class_counts=counts).has_rare_class is is_rare


def test_the_default_metric_of_classes():
    """A rare class is scored by the area under the curve; others by the metric of their kind."""
    assert choose_default_metric((990, 10)) == choose_default_metric((500, 480, 20)) == "auc"
    assert choose_default_metric((90, 10)) == choose_default_metric(()) == ""


@pytest.mark.parametrize(("kind", "counts", "metric"), [("binary", (99, 1), "auc"), ("multiclass", (98, 50, 1), "")])
def test_data_of_an_earlier_version_keeps_its_objective(kind, counts, metric):
    """It was scored by AUC for two classes, one of them rare, and by accuracy otherwise."""
    stored = asdict(Task(kind, ("y",), class_counts=counts, default_metric="auc"))
    assert Task.from_json(stored).default_metric == "auc"
    del stored["default_metric"]
    assert Task.from_json(stored).default_metric == metric
