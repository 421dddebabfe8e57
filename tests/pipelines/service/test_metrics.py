"""Metrics are read from the store at each request."""

from __future__ import annotations

from pipelines.service.metrics import render_metrics
from tracking.store.study_queue import StudyQueue


def test_counts_are_those_of_the_store(home, store):
    """Studies are counted by state; a state that no study is in any longer has no line."""
    assert 'kerastudy_studies{state="queued"} 1.0' in render_metrics(store, home).decode()
    StudyQueue(store).set_state("s", "paused")
    text = render_metrics(store, home).decode()
    assert 'kerastudy_studies{state="paused"} 1.0' in text
    assert "queued" not in text
    assert "kerastudy_mlflow_backlog_records 0.0" in text
    assert "kerastudy_home_free_bytes" in text
