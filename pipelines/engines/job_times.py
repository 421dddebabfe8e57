"""Times of an engine's jobs, for the timeline of the study: a row for each job that runs at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipelines.engines.base import Event, Failed, Finished, Job
from tracking.timings.stopwatch import get_times, measure, now_s

STARTING = "starting a worker"
_WAITING = "waiting for workers"
_LEAST_START_S = 0.005  # chosen: a worker that is free takes its job within it


@dataclass(frozen=True)
class _Started:
    row: str
    activity: str
    at: float


class JobTimes:
    """Start and end of an engine's jobs; without a study at work it keeps nothing."""

    def __init__(self) -> None:
        self._running: dict[str, _Started] = {}

    def start(self, job: Job[Any, Any]) -> None:
        """Take note that a job starts."""
        if get_times() is not None:
            self._running[job.name] = _Started(self._choose_row(aside=job.aside), job.function.activity, now_s())

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Measure a wait for events."""
        with measure(_WAITING):
            yield

    def record(self, events: Iterable[Event]) -> None:
        """Record the jobs that ended."""
        for event in events:
            if isinstance(event, Finished | Failed) and (started := self._running.pop(event.job, None)) is not None:
                _record_job(event, started)

    def close(self) -> None:
        """Record the jobs that are stopped without an event."""
        self.record([Failed(name, "stopped", "") for name in list(self._running)])

    def _choose_row(self, *, aside: bool) -> str:
        kind = "worker aside" if aside else "worker"
        taken = {each.row for each in self._running.values()}
        return next(row for row in (f"{kind} {number}" for number in range(1, len(taken) + 2)) if row not in taken)


def _record_job(event: Finished | Failed, started: _Started) -> None:
    times, now = get_times(), now_s()
    if times is None:
        return
    # A worker that was killed reports nothing, and the clock of another machine may differ: nothing leaves the job.
    spans = [span for span in event.spans if span.start < now and span.end > started.at]
    if not spans:
        times.add(started.row, started.activity, started.at, now, job=event.job)
        return
    first = max(started.at, min(span.start for span in spans))
    if first - started.at > _LEAST_START_S:
        times.add(started.row, STARTING, started.at, first, job=event.job)
    for span in sorted(spans, key=lambda span: span.start):
        start, end = max(span.start, started.at), min(span.end, now)
        times.add(started.row, span.name, start, end, span.seconds, event.job)
