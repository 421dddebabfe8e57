"""Rows that are left out before the split."""

import numpy as np

from pipelines.data.prepare import prepare
from pipelines.data.raw import Origin, RawData
from pipelines.data.row_filters import drop_rows
from pipelines.spec.data_spec import DataSpec


def spec(**keys) -> DataSpec:
    return DataSpec.model_validate({"source": "data.csv", **keys})


def test_rows_without_a_target(read):
    """They are left out with a note of how many and where; the others keep their lines."""
    raw = read("a,t\n1,x\n2,\n3,y\n4,NA\n5,?\n", target="t")
    kept = drop_rows(raw, spec(target="t", drop_unlabelled=True, missing_values={"t": ["?"]}))
    assert kept.table["a"].tolist() == ["1", "3", "4"]
    assert [kept.format_place(row) for row in range(3)] == ["line 2", "line 4", "line 5"]
    assert "2 rows are left out, without a target (line 3, line 6); data.drop_unlabelled" in kept.notes[-1]
    assert drop_rows(raw, spec(target="t")) is raw


def test_equal_rows(read):
    """Of equal rows the first one stays."""
    raw = read("a,t\n1,x\n2,y\n1,x\n1,y\n", target="t")
    assert drop_rows(raw, spec(target="t", drop_duplicates=True)).table["a"].tolist() == ["1", "2", "1"]


def test_rows_of_several_files():
    """Rows of separate parts stay in their parts; labels beside an array go with their rows."""
    import pandas as pd

    origins = (Origin("a", "k", "row", [1, 2]), Origin("b", "k", "row", [1, 2], "test"))
    labels = pd.DataFrame({"target": [1.0, np.nan, np.nan, 2.0]})
    raw = RawData(origins, array=np.arange(4.0)[:, None], labels=labels, weights=np.arange(4.0))
    kept = drop_rows(raw, spec(drop_unlabelled=True))
    assert (kept.array.ravel().tolist(), kept.weights.tolist(), kept.given.tolist()) == ([0, 3], [0, 3], ["", "test"])


def test_no_row_is_left(read, problem):
    """A target without any value is refused by the key."""
    raw = read("a,t\n1,\n2,\n", target="t")
    assert problem(drop_rows, raw, spec(target="t", drop_unlabelled=True)).path == "data.drop_unlabelled"


def test_a_study_of_labelled_rows(tmp_path):
    """A source with gaps in its target is prepared without them, and the note is in the summary."""
    lines = [f"{row},{'' if row % 5 == 0 else 'xy'[row % 2]}" for row in range(40)]
    (tmp_path / "data.csv").write_text("a,t\n" + "\n".join(lines) + "\n")
    summary = prepare(spec(target="t", drop_unlabelled=True), tmp_path, tmp_path / "ready", "dense")
    assert sum(summary.rows.values()) == 32
    assert any("8 rows are left out" in note for note in summary.notes)


def test_a_missing_target_names_the_key(tmp_path, problem):
    """Without the key, the error names it."""
    (tmp_path / "data.csv").write_text("a,t\n1,x\n2,\n3,y\n")
    found = problem(prepare, spec(target="t"), tmp_path, tmp_path / "ready", "dense")
    assert "data.drop_unlabelled: true" in found.message
