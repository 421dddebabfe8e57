"""Descriptions of prepared data."""

from __future__ import annotations

import pytest

from pipelines.data.prepared import Task


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
