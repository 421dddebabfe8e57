"""The split of rows in files, held to that of the same rows in memory."""

import numpy as np
import pandas as pd
import pytest

from pipelines.data import scratch as scratch_module
from pipelines.data.raw import PARTS, Origin, RawData
from pipelines.data.scratch import Scratch
from pipelines.data.splits.division import Division
from pipelines.data.splits.split_rows import divide_again, split_rows
from pipelines.data.streaming.row_split import StoredLabels, divide_stored_rows, split_stored_rows
from pipelines.data.targets.labels import Labels
from pipelines.spec.data_spec import DataSpec

ROWS = 997
DIVISIONS = [Division(5), Division(1), Division(1, holds_out=True), Division(holds_out=True)]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(scratch_module, "CHUNK_ROWS", 100)


def make_labels(kind):
    """Return labels of many rows: of classes, two of which are rare, or numbers."""
    random = np.random.default_rng(3)
    if kind == "regression":
        return Labels("regression", ("t",), (), random.normal(size=(ROWS, 1)).astype(np.float32))
    y = random.choice(5, ROWS, p=[0.5, 0.3, 0.2, 0, 0]).astype(np.int32)
    if kind == "even":
        return Labels("multiclass", ("t",), ("a", "b", "c"), y)
    y[[10, 500, 700]] = 3
    y[900] = 4
    return Labels("multiclass", ("t",), ("a", "b", "c", "d", "e"), y)


def divide_both(kind, split, tmp_path, division=None):
    """Return the split of the rows in memory and that of the rows in files."""
    spec = DataSpec.model_validate({"source": "x.csv", "target": "t", "split": split})
    labels = make_labels(kind)
    raw = RawData((Origin("x.csv", "data.source", "row", range(ROWS)),), table=pd.DataFrame({"t": np.zeros(ROWS)}))
    expected = split_rows(raw, labels, spec)
    stored, scratch = StoredLabels(labels.y, labels.classes), Scratch(tmp_path)
    found = split_stored_rows(np.full(ROWS, -1, np.int8), None, stored, spec, scratch)
    if division is not None:
        expected = divide_again(expected, raw, labels, spec, division)
        found = divide_stored_rows(found, stored, spec, division, scratch)
    return expected, found


def assert_equal(expected, found):
    """Assert that both have the same rows in every part of every fold."""
    assert found.folds == expected.folds
    for fold in range(expected.folds):
        for part in PARTS:
            rows = np.flatnonzero(found.mark(part, fold, 0, ROWS))
            np.testing.assert_array_equal(rows, expected.select_rows(part, fold))
    assert found.notes == expected.notes


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
@pytest.mark.parametrize(
    "split", [{"seed": 7}, {"validation": 0.3, "test": 0}, {"stratify": False}, {"folds": 4}, {"folds": 3, "test": 0}]
)
def test_rows_in_files_are_divided_as_in_memory(kind, split, tmp_path):
    """The same seed gives the same rows in every part and fold."""
    # Folds need more rows of a class.
    of = "even" if kind == "multiclass" and "folds" in split else kind
    assert_equal(*divide_both(of, split, tmp_path))


@pytest.mark.parametrize("division", DIVISIONS)
def test_rows_in_files_are_divided_again_as_in_memory(division, tmp_path):
    """Folds of finalists and the rows of a refit are the same too."""
    assert_equal(*divide_both("regression", {"seed": 2}, tmp_path, division))
