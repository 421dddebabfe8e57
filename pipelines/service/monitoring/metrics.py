"""Metrics for Prometheus: what this process has counted since its start, and what the store holds at each request.

No label grows without end: routes are templates, and of submitters only those with the most work have a label.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric

from pipelines.supervisor.event_log import StoredEvent

# A series more for each one, with the time since when it is counted, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
# Bounds in seconds. An answer takes milliseconds, an export minutes, a follower hours.
_REQUEST_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600)
_TRIAL_S: Final = (0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)
_STUDY_S: Final = (10, 60, 300, 900, 3600, 14_400, 43_200, 86_400, 604_800)


class MetricSource(Protocol):
    """Source of metrics that are read at each request."""

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""


class ServiceMetrics:
    """Metrics of one service."""

    def __init__(self, *sources: MetricSource) -> None:
        # Of its own: the package's global registry would mix the services of one process, as in tests.
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        for source in sources:
            self._registry.register(source)
        labels = ["method", "route", "status"]
        self._requests = Histogram(
            "kerastudy_http_request_seconds",
            "Seconds from a request to the end of its answer, by the template of its route.",
            labels,
            buckets=_REQUEST_S,
            registry=self._registry,
        )
        self._trials = Histogram(
            "kerastudy_trial_seconds", "Seconds of a trial.", ["state"], buckets=_TRIAL_S, registry=self._registry
        )
        self._studies = Histogram(
            "kerastudy_study_seconds",
            "Working seconds of a study, at its end or its pause.",
            ["state"],
            buckets=_STUDY_S,
            registry=self._registry,
        )
        self._lost = Counter(
            "kerastudy_trial_attempts_lost", "Attempts at trials that lost their worker.", registry=self._registry
        )

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def observe_event(self, event: StoredEvent) -> None:
        """Count an event of a study."""
        seconds, state = event.content.get("seconds"), str(event.content.get("state"))
        if event.kind == "trial-ended":
            self._trials.labels(state).observe(seconds or 0.0)
        elif event.kind == "study-ended":
            self._studies.labels(state).observe(seconds or 0.0)
        elif event.kind == "trial-tried-again":
            self._lost.inc()

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)
