"""Formats of records in MLflow."""

import pytest

from tracking.mlflow.formatting import format_metric_name, format_run_name, format_value, shorten_tags


def test_names_of_runs_sort_by_number():
    """Numbers are padded with zeros; a retraining has the name of its trial and its name."""
    assert [format_run_name("s", 7), format_run_name("s", 1234), format_run_name("s", 7, "refit")] == [
        "s-t007",
        "s-t1234",
        "s-t007-refit",
    ]


@pytest.mark.parametrize(("name", "expected"), [("val_auc", "val_auc"), ("fold_1/loss", "fold_1/loss"), ("a@b", "a_b")])
def test_metric_names_fit_mlflow(name, expected):
    """Characters that MLflow refuses become underscores."""
    assert format_metric_name(name) == expected


def test_values_are_exact_and_limited():
    """A float reads back as the same number; long texts are cut to MLflow's limits."""
    assert float(format_value(0.1 + 0.2)) == 0.1 + 0.2
    assert len(format_value("x" * 10_000)) == 6000
    assert len(shorten_tags({"a": "x" * 10_000})["a"]) == 5000
