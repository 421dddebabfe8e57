"""Summary of a run: rows in the order of the house, each of which adds up to the whole run."""

from __future__ import annotations

import pytest

from tracking.timings.spans import Span, StudyRun
from tracking.timings.summary import summarize


def test_rows_stand_in_order_and_add_up():
    """The supervisor first, then workers by number; the rest of each row is named by what it means there."""
    spans = [
        Span("delivery", "delivering to MLflow", 3.0, 5.0, 1.0),
        Span("worker 10", "training", 2.0, 6.0, 4.0, "trial-1"),
        Span("worker 2", "training", 2.0, 3.0, 1.0, "trial-0"),
        Span("worker 2", "training", 7.0, 8.0, 1.0, "trial-2"),
        Span("worker aside 1", "baselines", 2.0, 4.0, 2.0, "baselines"),
        Span("supervisor", "waiting for workers", 1.0, 10.0, 8.5),
    ]
    rows = summarize(StudyRun(0.0, 10.0, spans))
    assert [row.row for row in rows] == ["supervisor", "worker 2", "worker 10", "delivery", "worker aside 1"]
    assert [row.activities[-1].name for row in rows] == [
        "not measured", "without a job", "without a job", "nothing to deliver", "without a job"
    ]  # fmt: skip
    for row in rows:
        assert sum(each.seconds for each in row.activities) == pytest.approx(10.0)
        assert row.activities[-1].is_rest
    training = rows[1].activities[0]
    assert (training.seconds, training.start, training.end) == (2.0, 2.0, 8.0)


def test_a_run_that_was_cut_off_does_not_claim_idle_workers():
    """A fleet reports at its end: of one that was killed nobody knows what it did."""
    spans = [Span("supervisor", "waiting for workers", 0.0, 9.0, 9.0), Span("worker 1", "reading data", 1.0, 2.0, 1.0)]
    [supervisor, worker] = summarize(StudyRun(0.0, 10.0, spans, is_whole=False))
    assert supervisor.activities[-1].name == "not measured"
    assert worker.activities[-1].name == "without a job, or not reported before the run was cut off"
