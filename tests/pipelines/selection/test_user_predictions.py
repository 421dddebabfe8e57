"""The task that targets and predictions of a user model show."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.prepared import Task
from pipelines.selection.user_predictions import infer_task

CUSTOM = Task("custom", ("y",))
SHARES = np.array([[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("y", "predictions", "kind"),
    [
        (np.array([1, 0, 1]), SHARES, "multiclass"),
        (np.array([[1], [0], [1]]), SHARES, "multiclass"),
        (np.eye(2)[[1, 0, 1]], SHARES, "multiclass"),
        (np.array([1, 0, 1]), SHARES[:, :1], "binary"),
        (np.array([1.5, 0.0, 2.0]), SHARES[:, :1], "multi_output_regression"),
        (np.array([[1.5], [0.0], [2.0]]), np.array([3.0, 1.0, -2.0]), "multi_output_regression"),
        (np.array([5, 0, 1]), SHARES, None),
        (np.array([1, 0]), SHARES, None),
        (np.array(["a", "b", "c"]), SHARES[:, :1], None),
        (np.array([1, 0, 1]), SHARES * np.nan, None),
        (np.zeros((3, 4, 4)), np.zeros((3, 4, 4)), None),
    ],
)
def test_the_form_shows_the_task(y, predictions, kind):
    """Shares that sum to 1 are classes, numbers beside numbers a regression; anything else is left alone."""
    found = infer_task(CUSTOM, y, predictions)
    assert (found[0].kind if found else None) == kind
    if found is not None and kind != "multi_output_regression":
        assert len(found[0].classes) == 2
        assert found[1].tolist() == [1, 0, 1]
