"""Metrics for Prometheus: counts that are read from the store at each request."""

from __future__ import annotations

import shutil

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from pipelines.queries.study_reader import StudyReader
from pipelines.workspace.home import Home
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue

CONTENT_TYPE = CONTENT_TYPE_LATEST


def render_metrics(store: Store, home: Home) -> bytes:
    """Return the counts in Prometheus's text format."""
    # The package's global registry would keep the labels of studies that have ended.
    registry = CollectorRegistry()
    queue = StudyQueue(store)
    studies = Gauge("kerastudy_studies", "Studies by state.", ["state"], registry=registry)
    for state, count in queue.count_by_state().items():
        studies.labels(state).set(count)
    trials = Gauge("kerastudy_trials", "Trials of running studies by state.", ["study", "state"], registry=registry)
    reader = StudyReader(home, store)
    # Running ones only: a label for each study ever run would grow without end.
    for record in queue.list(states=("running",)):
        for state, count in reader.read_study(record.name).trials.items():
            trials.labels(record.name, state).set(count)
    waiting = Gauge("kerastudy_mlflow_backlog_records", "Records that MLflow has not taken yet.", registry=registry)
    waiting.set(Outbox(store).count_pending())
    free = Gauge("kerastudy_home_free_bytes", "Free bytes on the disk of the home.", registry=registry)
    free.set(shutil.disk_usage(home.folder).free)
    return generate_latest(registry)
