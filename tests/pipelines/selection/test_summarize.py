"""The choice between whole arrays and batches, and what neither can sum up."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.prepared import Task
from pipelines.selection import prediction_totals
from pipelines.selection.summarize import BatchedSummary, summarize

TASK = Task("binary", ("y",), ("no", "yes"))
Y = np.array([0, 1] * 50)
SHARES = np.linspace(0, 1, 100).astype(np.float32).reshape(-1, 1)


@pytest.mark.parametrize(("most_rows", "most_values"), [(99, 1000), (1000, 99)])
def test_many_rows_or_values_are_summed_up_in_batches(monkeypatch, most_rows, most_values):
    """Either limit leads to totals, whose intervals are of another bootstrap and whose counts are the same."""
    whole = summarize(TASK, Y, SHARES)
    monkeypatch.setattr(prediction_totals, "_MOST_ROWS", most_rows)
    monkeypatch.setattr(prediction_totals, "_MOST_VALUES", most_values)
    found = summarize(TASK, Y, SHARES)
    assert found["confusion"] == whole["confusion"]
    assert found["intervals"]["auc"] != whole["intervals"]["auc"]


def test_a_batch_without_a_finite_prediction_has_no_summary():
    """One prediction that is not finite leaves all rows without a summary, in batches as in whole arrays."""
    batches = BatchedSummary(TASK, 200)
    batches.add(Y, SHARES)
    batches.add(Y, np.where(SHARES > 0.5, np.nan, SHARES))
    batches.add(Y, SHARES)
    assert batches.summarize() is None
    assert summarize(TASK, Y, SHARES * np.nan) is None


def test_targets_of_another_kind_have_no_summary():
    """A user model's targets may be of any form."""
    task = Task("custom", ("y",))
    batches = BatchedSummary(task, 100)
    batches.add(Y, SHARES)
    assert batches.summarize() is None
    assert summarize(task, Y, SHARES) is None
