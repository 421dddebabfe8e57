"""Formats of records in MLflow."""

import math

from tracking.mlflow.formatting import (
    format_run_name,
    format_value,
    make_curve_points,
    make_epoch_metrics,
    make_metrics,
    shorten_tags,
)
from tracking.outbox.records import EpochsRecorded


def test_names_of_runs_sort_by_number():
    """Numbers are padded with zeros; a retraining has the name of its trial and its name."""
    assert [format_run_name("s", 7), format_run_name("s", 1234), format_run_name("s", 7, "refit")] == [
        "s-t007",
        "s-t1234",
        "s-t007-refit",
    ]


def test_values_are_exact_and_limited():
    """A float reads back as the same number; a text beyond MLflow's limits is cut, and two such texts stay two."""
    assert float(format_value(0.1 + 0.2)) == 0.1 + 0.2
    long = [format_value("x" * 10_000 + end) for end in ("", "a", "b")]
    assert len(set(long)) == 3
    assert long[0].endswith("(10000 characters, SHA-256 e4ee97ec252749d2)")
    assert max(map(len, long)) <= 6000
    assert len(shorten_tags({"a": "x" * 10_000})["a"]) <= 5000
    assert format_value("x" * 6000) == "x" * 6000


def test_texts_that_no_database_stores():
    """NUL and halves of surrogate pairs, as in names of files that are not UTF-8, are written as escapes."""
    assert format_value("a\0b\udcff") == "a\\x00b\\udcff"


def test_values_that_are_not_finite_are_no_metrics():
    """MLflow would show an infinity as the largest number."""
    given = {"a": 1.0, "b": math.inf, "c": -math.inf, "d": math.nan, "e": None}
    assert [(point.key, point.value) for point in make_metrics(given, 1)] == [("a", 1.0)]


def test_curves_without_a_path_have_a_second_name_with_one():
    """MLflow shows sections of names with a path before metrics without; those of folds follow their mean."""
    of_epochs = make_epoch_metrics(EpochsRecorded("s", 0, ((0, 1, {"val_loss": 1.0, "fold_1/val_loss": 2.0}),)))
    assert [(point.key, point.step) for point in of_epochs] == [
        ("val_loss", 1),
        ("fold_1/val_loss", 1),
        ("curves/val_loss", 1),
    ]
    assert [(point.key, point.step) for point in make_curve_points({"best_so_far": 1.0}, 1, 7)] == [
        ("best_so_far", 7),
        ("curves/best_so_far", 7),
    ]
