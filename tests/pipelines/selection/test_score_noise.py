"""Standard errors of scores, beside those of simulated scores."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipelines.data.prepared import DataSummary, Features, Task
from pipelines.data.report import DataReport, TargetReport
from pipelines.selection.prediction_summary import compute_auc
from pipelines.selection.score_noise import RowCounts, compute_effective_rows, count_validation_rows, estimate_noise

COUNTS = ((300, 300), (570, 30), (200, 200, 200), (500, 80, 20))


def simulate(counts, shift, times=120):
    """Yield labels, logits of normal scores and choices, for rows drawn again and again."""
    chance = np.random.default_rng(7)
    y = np.repeat(np.arange(len(counts)), counts)
    for _ in range(times):
        scores = chance.normal(size=(len(y), len(counts)))
        scores[np.arange(len(y)), y] += shift
        yield y, scores - np.logaddexp.reduce(shift * scores, axis=1, keepdims=True) / shift, scores.argmax(axis=1)


def measure_area(y, logits, choice):
    if logits.shape[1] == 2:
        return compute_auc(y == 1, logits[:, 1])
    return np.mean([compute_auc(y == each, logits[:, each]) for each in range(logits.shape[1])])


def measure_balance(y, logits, choice):
    return np.mean([(choice[y == each] == each).mean() for each in range(logits.shape[1])])


@pytest.mark.parametrize(("counts", "shift"), list(itertools.product(COUNTS, (0.7, 1.5))))
@pytest.mark.parametrize(("metric", "measure"), [("val_auc", measure_area), ("val_balanced_accuracy", measure_balance)])
def test_the_error_is_near_that_of_drawn_rows(counts, shift, metric, measure):
    """Whatever the rows of each class and the score, within a half either way; by all rows it is a third of it."""
    values = [measure(*drawn) for drawn in simulate(counts, shift)]
    noise = estimate_noise(metric, float(np.mean(values)), RowCounts(sum(counts), counts))
    assert 0.65 < noise / np.std(values) < 1.5
    by_all_rows = estimate_noise(metric, float(np.mean(values)), RowCounts(sum(counts)))
    assert min(counts) == max(counts) or by_all_rows < 0.85 * np.std(values)


@pytest.mark.parametrize(("metric", "value"), [("val_accuracy", 97.0), ("val_auc", -0.1), ("val_loss", -3.0)])
def test_a_score_of_another_kind_than_its_name_has_no_known_noise(metric, value):
    """An accuracy in per cent is no share, and a loss below 0 no mean error."""
    assert estimate_noise(metric, value, RowCounts(100)) is None


def test_effective_rows_grow_with_each_class_and_never_past_all_rows():
    """More rows of any class make no score noisier, and no class counts for more than all."""
    chance = np.random.default_rng(0)
    for _ in range(300):
        counts = tuple(int(each) for each in chance.integers(1, 400, chance.integers(2, 7)))
        more = tuple(count + int(each == 0) * 50 for each, count in enumerate(counts))
        for metric in ("val_balanced_accuracy", "val_auc", "val_f1_score"):
            rows = compute_effective_rows(metric, RowCounts(sum(counts), counts))
            limit = sum(counts) * (4 if metric == "val_auc" and len(counts) > 2 else 1)
            assert 0 < rows <= limit + 1e-6
            assert compute_effective_rows(metric, RowCounts(sum(more), more)) >= rows


@pytest.mark.parametrize(
    ("metric", "value", "noise"),
    [("val_accuracy", 1.0, 0.0135), ("val_root_mean_squared_error", 5.0, 0.3536), ("val_r2_score", 0.9, None)],
)
def test_the_noise_of_a_score(metric, value, noise):
    """A perfect score has some too; a metric without a known spread has none."""
    found = estimate_noise(metric, value, RowCounts(100))
    assert found == (noise if noise is None else pytest.approx(noise, abs=1e-4))


@pytest.mark.parametrize(
    ("metric", "counts", "rows"),
    [
        ("val_accuracy", RowCounts(100, (90, 10)), 100),  # each row counts alike
        ("val_balanced_accuracy", RowCounts(100, (90, 10)), 36),
        ("val_auc", RowCounts(100, (90, 10)), 36),
        ("val_weighted_auc", RowCounts(100, (90, 10)), 36),
        ("val_recall", RowCounts(100, (90, 10)), 10),  # of the second class alone
        ("val_f1_score", RowCounts(100, (90, 10)), 10),
        ("val_f1_score", RowCounts(120, (100, 10, 10)), 9 / 0.21),
        ("val_balanced_accuracy", RowCounts(100, (90, 10, 0)), 36),  # a class without a row is left out
        ("val_auc", RowCounts(100, (100, 0)), 100),  # no area: nothing is known
        ("val_auc", RowCounts(100, (10, 100), has_labels=True), 36),
        ("val_f1_score", RowCounts(100, (10, 10), has_labels=True), 20),
        ("val_binary_accuracy", RowCounts(100, (10, 10), has_labels=True), 100),
    ],
)
def test_effective_rows_by_metric(metric, counts, rows):
    """Those of the rarest class decide only where each class counts alike."""
    assert compute_effective_rows(metric, counts) == pytest.approx(rows)


@pytest.mark.parametrize(
    ("metric", "classes", "words"),
    [
        ("val_accuracy", (90, 10), "100 rows"),
        ("val_auc", (50, 50), "100 rows"),
        ("val_auc", (90, 10), "100 rows, 10 of the rarest class,"),
        ("val_recall", (20, 80), "100 rows, 80 of the second class,"),
    ],
)
def test_the_class_that_decides_is_named(metric, classes, words):
    """Its rows explain an error that all rows do not."""
    assert RowCounts(100, classes).describe(metric) == words


def summarize(task, *targets, folds=1):
    report = DataReport({"train": 70, "validation": 20, "test": 10}, targets=targets)
    return DataSummary("rows.csv", task, Features(), (), {"validation": 20}, folds, "0", {}, report=report)


def test_rows_of_classes_are_those_of_validation():
    """In the order of the classes; with folds all of them."""
    task = Task("binary", ("y",), ("no", "yes"))
    report = TargetReport("y", {"no": {"train": 60, "validation": 17}, "yes": {"train": 10, "validation": 3}})
    assert count_validation_rows(summarize(task, report), "val_auc") == RowCounts(20, (17, 3))
    assert count_validation_rows(summarize(task, report, folds=5), "val_auc") == RowCounts(100, (85, 15))


def test_a_metric_of_a_head_has_the_classes_of_its_target():
    """`val_sold_auc` is of the target "sold"."""
    price, sold = Task("regression", ("price",), output="price"), Task("binary", ("sold",), ("n", "y"), output="sold")
    summary = summarize(
        Task("multi_task", ("price", "sold"), heads=(price, sold)),
        TargetReport("price", mean={"validation": 5.0}),
        TargetReport("sold", {"n": {"validation": 16}, "y": {"validation": 4}}),
    )
    assert count_validation_rows(summary, "val_sold_auc") == RowCounts(20, (16, 4))
    assert count_validation_rows(summary, "val_price_loss") == RowCounts(20)
    assert count_validation_rows(summary, "val_loss") == RowCounts(20)


def test_labels_are_counted_by_their_means():
    """A report has the share of the rows with each label."""
    reports = [TargetReport(name, mean={"validation": mean}) for name, mean in (("a", 0.5), ("b", 0.05))]
    summary = summarize(Task("multi_label", ("a", "b")), *reports)
    assert count_validation_rows(summary, "val_auc") == RowCounts(20, (10, 1), has_labels=True)


@pytest.mark.parametrize("spread", [1, 2, 4, 8, 16])
def test_the_error_of_a_cross_entropy_is_near_that_of_drawn_rows(spread):
    """Few rows have most of a small loss: the surer a model is, the more its loss depends on which rows it is of."""
    chance = np.random.default_rng(3)
    logits = chance.normal(0, spread, (2000, 200))
    is_second = chance.random(logits.shape) < 1 / (1 + np.exp(-logits))
    losses = np.logaddexp(0, np.where(is_second, -logits, logits)).mean(axis=1)
    for metric in ("val_loss", "val_binary_crossentropy"):
        found = estimate_noise(metric, losses.mean(), RowCounts(200, (100, 100)))
        assert 0.8 < found / losses.std() < 2
    assert estimate_noise("val_loss", 0.0, RowCounts(200, (100, 100))) < 1e-5
