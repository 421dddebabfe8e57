"""Multi-label targets: several columns of 0 and 1, or one column of lists."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipelines.data.raw import Origin, RawData
from pipelines.data.targets.labels import read_labels
from pipelines.spec.data_spec import DataSpec

COLUMNS = {"red": ["1", "0", "1", "0"], "blue": ["0", "0", "1", "1"]}


def read(columns, **keys):
    labels = pd.DataFrame(columns)
    raw = RawData((Origin("d.csv", "data.source", "line", range(2, len(labels) + 2)),), table=labels, text=True)
    target = list(labels.columns) if labels.shape[1] > 1 else labels.columns[0]
    return read_labels(labels, raw, DataSpec.model_validate({"source": "d.csv", "target": target, **keys}))


@pytest.mark.parametrize("keys", [{}, {"task": "multi_label"}])
def test_columns_of_flags_are_labels(keys):
    """Several named columns of 0 and 1, whatever these are written as, are one task."""
    found = read({**COLUMNS, "big": ["true", "No", "YES", "false"]}, **keys)
    assert (found.kind, found.targets, found.classes) == ("multi_label", ("red", "blue", "big"), ())
    assert found.y.tolist() == [[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]]


def test_other_columns_stay_a_regression():
    """A declared regression on flags is one, and so is a column with another number."""
    assert read(COLUMNS, task="multi_output_regression").kind == "multi_output_regression"
    assert read({**COLUMNS, "size": ["1", "0", "2", "1"]}).kind == "multi_output_regression"


@pytest.mark.parametrize(
    "cells",
    [["red|blue", "", "blue", "red"], ["red; blue", "", "blue", "red"], [["red", "blue"], [], ["blue"], ["red"]]],
)
def test_one_column_of_lists(cells):
    """Labels stand between marks, or are the lists of a typed source; an empty one is a row without any."""
    found = read({"tags": cells}, task="multi_label")
    assert (found.targets, found.y.tolist()) == (("blue", "red"), [[1, 1], [0, 0], [1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({**COLUMNS, "big": ["1", "0", "many", "0"]}, "expected 0 or 1 for the label \"big\", got 'many' at line 4"),
        ({**COLUMNS, "big": ["0"] * 4}, 'the label "big" is in no row'),
        ({"tags": ["red"] * 4}, "expected 2 to 1000 labels"),
    ],
)
def test_labels_that_cannot_be_used(problem, columns, expected):
    found = problem(lambda: read(columns, task="multi_label"))
    assert (found.path, expected in found.message) == ("data.target", True), found.message


def test_the_loss_and_metrics_of_labels():
    """The mean loss over labels, and a mean of each label's AUC; smoothing acts as in Keras."""
    from pipelines.data.prepared import Task
    from pipelines.models.losses import build_loss_with_smoothing
    from pipelines.models.output_scores import score_predictions
    from pipelines.spec.schema import TrainingSpec

    task = Task("multi_label", ("red", "blue"), target_mean=(0.0, 0.0), target_scale=(1.0, 1.0))
    y, p = np.array([[1, 0], [0, 1], [1, 1]], np.float32), np.array([[0.9, 0.2], [0.4, 0.6], [0.3, 0.7]], np.float32)
    loss = float(np.mean(build_loss_with_smoothing(task, TrainingSpec(), 0.0).call(y, p)))
    assert loss == pytest.approx(-np.mean(np.where(y == 1, np.log(p), np.log(1 - p))), rel=1e-5)
    scores = score_predictions(task, TrainingSpec(metrics=["f1_score"]), y, p)
    assert scores["binary_accuracy"] == pytest.approx(5 / 6)
    assert 0.7 < scores["auc"] < 0.8 and scores["f1_score"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-5)
