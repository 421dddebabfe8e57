"""Descriptions of prepared data."""

from __future__ import annotations

import pytest

from pipelines.data.prepared import Part, Task


@pytest.mark.parametrize(
    ("task", "outputs"),
    [
        (Task("binary", ("y",), classes=("no", "yes")), 1),
        (Task("multiclass", ("y",), classes=("a", "b", "c")), 3),
        (Task("regression", ("y",)), 1),
        (Task("multi_output_regression", ("y", "z")), 2),
    ],
)
def test_a_task_has_the_width_of_its_output(task, outputs):
    """One probability for two classes, one for each of more, one number for each target."""
    assert task.outputs == outputs


def test_rows_are_those_of_the_targets():
    """A part without features has rows too."""
    assert Part({}, [[1.0], [2.0]]).rows == 2
