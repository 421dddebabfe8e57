"""Metrics for Prometheus: what the service has counted, and what the store holds at each request."""

from __future__ import annotations

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families
from served import study_text, submit

from pipelines.service.monitoring import store_metrics
from pipelines.service.monitoring.metrics import ServiceMetrics
from pipelines.supervisor.event_log import StoredEvent
from tracking.store.study_queue import StudyQueue


def read(service, who):
    """Return every sample by name and labels, as Prometheus's own reader sees them."""
    text = service.client.get("/metrics", headers=who).text
    families = text_string_to_metric_families(text)
    return {(each.name, *sorted(each.labels.values())): each.value for family in families for each in family.samples}


def test_counts_are_those_of_the_store(service, ann, reader):
    """Studies by state, the queue with its age, and what each submitter waits for."""
    submit(service, ann, study_text("s"))
    submit(service, ann, study_text("t"))
    StudyQueue(service.store).set_state("t", "paused")
    service.supervisors.forget_order()
    found = read(service, reader)
    assert found["kerastudy_studies", "queued"] == found["kerastudy_studies", "paused"] == 1
    assert found["kerastudy_studies", "finished"] == 0
    assert found["kerastudy_queue_length",] == 1
    assert 0 <= found["kerastudy_queue_age_seconds",] < 60
    assert found["kerastudy_submitter_queued_studies", "ann"] == 1
    assert found["kerastudy_mlflow_backlog_records",] == found["kerastudy_mlflow_backlog_age_seconds",] == 0
    assert found["kerastudy_home_free_bytes",] > 0
    assert found["kerastudy_store_up",] == 1
    assert found["process_open_fds",] > 0


def test_requests_are_counted_by_template_and_status(service, ann, reader):
    """A name in an address, or an address that nobody serves, makes no label of its own."""
    for path in ("/v1/studies/none", "/v1/studies/neither", "/what", "/ever"):
        service.client.get(path, headers=ann)
    service.client.request("BREW", "/v1/me", headers=ann)
    found = read(service, reader)
    name = "kerastudy_http_request_seconds_count"
    assert found[name, "/v1/studies/{study}", "404", "GET"] == 2
    assert found[name, "404", "GET", "unknown"] == 2
    assert any(key[0] == name and "other" in key for key in found)


def test_durations_of_trials_and_studies_are_histograms():
    """As their events state them, by state."""
    metrics = ServiceMetrics()
    metrics.observe_event(StoredEvent(1, "trial-ended", {"state": "complete", "seconds": 3.0}))
    metrics.observe_event(StoredEvent(2, "trial-ended", {"state": "failed", "seconds": None}))
    metrics.observe_event(StoredEvent(3, "trial-tried-again", {"number": 1}))
    metrics.observe_event(StoredEvent(4, "study-ended", {"state": "finished", "seconds": 90.0}))
    text = metrics.render().decode()
    assert 'kerastudy_trial_seconds_bucket{le="2.5",state="complete"} 0.0' in text
    assert 'kerastudy_trial_seconds_bucket{le="5.0",state="complete"} 1.0' in text
    assert 'kerastudy_trial_seconds_count{state="failed"} 1.0' in text
    assert "kerastudy_trial_attempts_lost_total 1.0" in text
    assert 'kerastudy_study_seconds_sum{state="finished"} 90.0' in text


def test_labels_of_submitters_are_bounded(monkeypatch):
    """The ones with the most work have a label; the others share one."""
    monkeypatch.setattr(store_metrics, "_MOST_SUBMITTERS", 2)
    counts = Counter({"a": 5, "b": 4, "c": 3, "d": 2})
    assert store_metrics._limit_labels(counts) == {"a": 5, "b": 4, "others": 5}


def test_a_store_that_is_away_leaves_the_other_metrics(service, reader, monkeypatch):
    """An alert needs them then."""
    metrics = service.monitors.metrics
    monkeypatch.setattr(service.store, "read", _raise)
    text = metrics.render().decode()
    assert "kerastudy_store_up 0.0" in text
    assert 'kerastudy_ready{check="store"} 0.0' in text
    assert "kerastudy_home_free_bytes" in text


def _raise(*_):
    from sqlalchemy.exc import OperationalError

    raise OperationalError("SELECT 1", {}, Exception("gone"))
