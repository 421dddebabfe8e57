"""Metrics that are read at each request of a monitor: queue, studies, trials, submitters, outbox, disk."""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy.exc import SQLAlchemyError

from pipelines.queries.hosts import list_hosts
from pipelines.queries.study_reader import StudyReader
from pipelines.service.http.stream_limit import StreamLimit
from pipelines.service.monitoring.readiness import Readiness
from pipelines.service.studies.model_service import ModelService
from pipelines.service.supervisors.supervisor_pool import SupervisorPool
from pipelines.workspace.home import Home
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store
from tracking.store.notifications import Notifications
from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submission, Submissions
from tracking.store.tables import now_ms

_MOST_SUBMITTERS: Final = 50
_OTHERS: Final = "others"
_STATES: Final = ("queued", "preparing", "running", "paused", "finished", "failed", "cancelled")
_log = logging.getLogger("kerastudy.metrics")


class StoreMetrics:
    """Source of what the store holds."""

    def __init__(self, home: Home, store: Store, supervisors: SupervisorPool) -> None:
        self._home = home
        self._store = store
        self._queue = StudyQueue(store)
        self._submissions = Submissions(store)
        self._reader = StudyReader(home, store)
        self._outbox = Outbox(store)
        self._notifications = Notifications(store)
        self._supervisors = supervisors
        self._waiting_since: dict[str, float] = {}

    def describe(self) -> Sequence[Metric]:
        """Return nothing: the names would cost the queries of `collect`."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return the metrics as they are now; only that there is no store where it does not answer."""
        answers = GaugeMetricFamily("kerastudy_store_up", "Whether the store answers.")
        try:
            parts = (self._collect_queue, self._collect_running, self._collect_hosts, self._collect_waiting_records)
            yield from [metric for collect in parts for metric in collect()]
            answers.add_metric((), 1)
        except SQLAlchemyError:
            _log.exception("the store does not answer")
            answers.add_metric((), 0)
        yield answers
        disk = shutil.disk_usage(self._home.folder)
        yield GaugeMetricFamily("kerastudy_home_free_bytes", "Free bytes on the disk of the home.", disk.free)
        yield GaugeMetricFamily("kerastudy_home_size_bytes", "Size of the disk of the home in bytes.", disk.total)
        yield CounterMetricFamily(
            "kerastudy_supervisor_failures",
            "Supervisor processes that ended before their study did, and were started again.",
            self._supervisors.failures,
        )

    def _collect_queue(self) -> Iterator[Metric]:
        counts = self._queue.count_by_state()
        studies = {state: counts.get(state, 0) for state in _STATES}
        yield _make_gauge("kerastudy_studies", "Studies by state.", "state", studies)
        waiting = self._supervisors.list_waiting()
        yield GaugeMetricFamily("kerastudy_queue_length", "Studies that wait for their turn.", len(waiting))
        submitted = self._submissions.find_many(waiting)
        yield GaugeMetricFamily(
            "kerastudy_queue_age_seconds", "Longest wait of a study for its turn.", self._find_longest_wait(submitted)
        )
        queued = Counter(submission.submitter for submission in submitted.values())
        help_text = f"Waiting studies by submitter; beyond {_MOST_SUBMITTERS} submitters the rest together."
        yield _make_gauge("kerastudy_submitter_queued_studies", help_text, "submitter", _limit_labels(queued))

    def _find_longest_wait(self, waiting: Mapping[str, Submission]) -> float:
        """Return seconds: since the submission of a new study, and since it was first seen for one that had begun."""
        now = time.monotonic()
        self._waiting_since = {study: self._waiting_since.get(study, now) for study in waiting}
        waits = [
            (now_ms() - each.submitted_ms) / 1000 if each.started_ms is None else now - self._waiting_since[each.study]
            for each in waiting.values()
        ]
        return max(waits, default=0.0)

    def _collect_hosts(self) -> Iterator[Metric]:
        hosts = list_hosts(self._store)
        processes = GaugeMetricFamily(
            "kerastudy_supervising_processes", "Processes that run studies.", labels=["host", "state"]
        )
        for (host, state), count in Counter((each.host, each.state) for each in hosts).items():
            processes.add_metric((host, state), count)
        yield processes
        room = Counter[str]()
        for each in hosts:
            room[each.host] += each.studies if each.state == "ready" else 0
        yield _make_gauge("kerastudy_host_capacity", "Most studies at a time by host.", "host", room)
        running = {each.host: len(each.running) for each in hosts}
        yield _make_gauge("kerastudy_host_studies", "Studies that run by host.", "host", running)

    def _collect_running(self) -> Iterator[Metric]:
        trials, training = Counter[str](), Counter[str]()
        records = [record.name for record in self._queue.list(states=("running",))]
        submitted = self._submissions.find_many(records)
        for study in records:
            counts = Counter(row.state for row in self._reader.list_trials(study))
            trials.update(counts)
            if study in submitted:
                training[submitted[study].submitter] += counts["running"]
        yield _make_gauge("kerastudy_trials", "Trials of running studies by state.", "state", trials)
        help_text = f"Training trials by submitter; beyond {_MOST_SUBMITTERS} submitters the rest together."
        yield _make_gauge("kerastudy_submitter_running_trials", help_text, "submitter", _limit_labels(training))

    def _collect_waiting_records(self) -> Iterator[Metric]:
        backlog = self._outbox.read_backlog()
        yield GaugeMetricFamily(
            "kerastudy_mlflow_backlog_records", "Records that MLflow has not taken yet.", backlog.pending
        )
        yield GaugeMetricFamily(
            "kerastudy_mlflow_refused_records", "Records that MLflow refuses, set aside.", backlog.set_aside
        )
        oldest = self._outbox.find_oldest_ms()
        age = 0.0 if oldest is None else max(0.0, (now_ms() - oldest) / 1000)
        yield GaugeMetricFamily("kerastudy_mlflow_backlog_age_seconds", "Age of the oldest of these records.", age)
        waiting = self._notifications.count_waiting()
        yield GaugeMetricFamily("kerastudy_notifications_waiting", "Notifications that a receiver lacks.", waiting)


class ServiceStateMetrics:
    """Source of the state of the service's process: followers, exports, readiness."""

    def __init__(self, streams: StreamLimit, models: ModelService, readiness: Readiness) -> None:
        self._streams = streams
        self._models = models
        self._readiness = readiness

    def describe(self) -> Sequence[Metric]:
        """Return nothing: the names would cost the checks of `collect`."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        yield GaugeMetricFamily("kerastudy_followers", "Clients that follow events or logs.", self._streams.count)
        yield GaugeMetricFamily(
            "kerastudy_exports_running",
            "Exports, promotions, predictions and comparisons at work.",
            self._models.running,
        )
        checks = {name: float(not reason) for name, reason in self._readiness.check().items()}
        yield _make_gauge("kerastudy_ready", "Whether each check of /readyz passes.", "check", checks)


def _make_gauge(name: str, help_text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, help_text, labels=[label])
    for key, value in values.items():
        gauge.add_metric((key,), value)
    return gauge


def _limit_labels(counts: Counter[str]) -> Mapping[str, int]:
    """Return the largest counts by label, and the sum of all others."""
    ordered = counts.most_common()
    shown = dict(ordered[:_MOST_SUBMITTERS])
    if rest := sum(count for _, count in ordered[_MOST_SUBMITTERS:]):
        shown[_OTHERS] = rest
    return shown
