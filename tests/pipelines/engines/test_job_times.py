"""Times of jobs: a row for each that runs at once, with what its worker measured in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.engines import job_times
from pipelines.engines.base import Failed, Finished, Job, JobFunction
from pipelines.engines.job_times import JobTimes
from tracking.timings import stopwatch
from tracking.timings.spans import Span, read_runs
from tracking.timings.stopwatch import time_run


@pytest.fixture
def clock(monkeypatch):
    """Return a list whose only item is the time."""
    now = [1_000.0]
    for module in (job_times, stopwatch):
        monkeypatch.setattr(module, "now_s", lambda: now[0])
    return now


def make_job(name, *, aside=False):
    return Job(name, JobFunction("module:function", "training"), None, Path("log"), aside=aside)


def read_spans(folder):
    """Return (row, activity, start, end, job) of the spans of the one run."""
    [run] = read_runs(folder)
    spans = [(each.row, each.name, each.start - run.start, each.end - run.start, each.job) for each in run.spans]
    return [span for span in spans if span[0] != "supervisor"]


def test_jobs_that_run_at_once_have_rows_of_their_own(clock, tmp_path):
    """A row is free again when its job has ended; jobs aside stand beside the workers."""
    times = JobTimes()
    with time_run() as run:
        run.keep_in(tmp_path)
        for name in ("trial-0", "trial-1"):
            times.start(make_job(name))
        times.start(make_job("baselines", aside=True))
        clock[0] += 2.0
        times.record([Finished("trial-0", None), Finished("baselines", None)])
        times.start(make_job("trial-2"))
        clock[0] += 1.0
        times.record([Finished("trial-1", None), Finished("trial-2", None)])
    assert read_spans(tmp_path) == [
        ("worker 1", "training", 0.0, 2.0, "trial-0"),
        ("worker 1", "training", 2.0, 3.0, "trial-2"),
        ("worker 2", "training", 0.0, 3.0, "trial-1"),
        ("worker aside 1", "training", 0.0, 2.0, "baselines"),
    ]


def test_what_a_worker_measured_is_kept_within_its_job(clock, tmp_path):
    """Until its first span a worker starts; a clock that differs moves nothing out of the job."""
    times = JobTimes()
    with time_run() as run:
        run.keep_in(tmp_path)
        times.start(make_job("fleet-1"))
        clock[0] += 10.0
        spans = (
            Span("", "compiling", 1_004.0, 1_006.0, 2.0, "fleet-1"),
            Span("", "training", 1_006.0, 1_012.0, 6.0, "fleet-1"),
        )
        times.record([Finished("fleet-1", None, spans)])
    assert read_spans(tmp_path) == [
        ("worker 1", "starting a worker", 0.0, 4.0, "fleet-1"),
        ("worker 1", "compiling", 4.0, 6.0, "fleet-1"),
        ("worker 1", "training", 6.0, 10.0, "fleet-1"),
    ]


def test_a_job_without_an_event_is_recorded_when_the_engine_closes(clock, tmp_path):
    """Of jobs that are killed only start and end are known."""
    times = JobTimes()
    with time_run() as run:
        run.keep_in(tmp_path)
        times.start(make_job("trial-0"))
        times.start(make_job("trial-1"))
        clock[0] += 1.0
        times.record([Failed("trial-0", "died", "killed")])
        clock[0] += 1.0
        times.close()
    assert [span[1:4] for span in read_spans(tmp_path)] == [("training", 0.0, 1.0), ("training", 0.0, 2.0)]


def test_nothing_is_kept_outside_a_study(clock):
    """An engine of a service, or of an export, records no times."""
    times = JobTimes()
    times.start(make_job("export"))
    times.record([Finished("export", None)])
    times.close()
