"""The report on prepared data."""

import json
from dataclasses import asdict

import numpy as np

from pipelines.data.columns.columns import Column
from pipelines.data.make_report import make_report
from pipelines.data.prepare import prepare
from pipelines.data.prepared_folder import load_summary
from pipelines.data.report import DataReport
from pipelines.data.splits.split import Split
from pipelines.data.targets.labels import Labels
from pipelines.spec.data_spec import DataSpec

SPLIT = Split(np.array(["train"] * 60 + ["validation"] * 40), np.full(100, -1), 1)


def test_columns_in_figures():
    """Numbers have a range, words their most common; missing and distinct values are counted over all rows."""
    values = np.array([np.nan, *range(99)], dtype=np.float64)
    words = np.array(["a", "b", "a", ""] * 25, dtype=object)
    columns = [Column("n", "n", "numeric", values, why="every value"), Column("w", "w", "string", words)]
    labels = Labels("binary", ("t",), ("no", "yes"), (np.arange(100) % 2).astype(np.int32))
    found = make_report(columns, labels, SPLIT)
    number, word = found.columns
    assert (number.missing, number.distinct, number.low, number.median, number.high) == (1, 99, 0, 49, 98)
    assert (word.missing, word.distinct, word.common) == (25, 2, {"a": 50, "b": 25})
    assert list(found.targets[0].classes) == ["no", "yes"]
    assert found.targets[0].classes["yes"] == {"train": 30, "validation": 20, "test": 0}
    assert number.distances == {"validation": 1.0}
    assert word.distances["validation"] < 0.05
    assert found.list_lines() == [
        "columns: 1 numeric, 1 string",
        "missing: w 25.0%, n 1.0%",
        "classes: no 50 (50.0%), yes 50 (50.0%)",
    ]


def test_a_regression_target():
    """A number's range and mean are those of each part."""
    labels = Labels("regression", ("t",), (), np.arange(100, dtype=np.float32)[:, None])
    (target,) = make_report([], labels, SPLIT).targets
    assert (target.low, target.high) == ({"train": 0, "validation": 60}, {"train": 59, "validation": 99})


def test_stored_with_the_data(tmp_path):
    """A prepared folder holds the report, as JSON that gives it back."""
    lines = "\n".join(f"{row / 7},{'xyz'[row % 3]},{row % 2}" for row in range(60))
    (tmp_path / "d.csv").write_text(f"a,b,t\n{lines}\n")
    spec = DataSpec.model_validate({"source": "d.csv", "target": "t"})
    report = prepare(spec, tmp_path, tmp_path / "ready", "dense").report
    assert report == load_summary(tmp_path / "ready").report
    assert report == DataReport.from_json(json.loads(json.dumps(asdict(report), allow_nan=False)))
    assert [column.name for column in report.columns] == ["a", "b"]


def test_the_distance_of_numbers():
    """It is that of SciPy."""
    from scipy.stats import ks_2samp

    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(size=60), random.normal(0.5, 2.0, 40)])
    labels = Labels("regression", ("t",), (), np.zeros((100, 1), np.float32))
    (found,) = make_report([Column("n", "n", "numeric", values)], labels, SPLIT).columns
    assert found.distances["validation"] == round(float(ks_2samp(values[:60], values[60:]).statistic), 4)
