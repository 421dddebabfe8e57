"""Stopwatches: pieces that never overlap, bounded in number, kept in the study's folder."""

from __future__ import annotations

import pytest

from tracking.timings import stopwatch
from tracking.timings.spans import SUPERVISOR, Span, read_runs
from tracking.timings.stopwatch import (
    Times,
    credit,
    flush_times,
    measure,
    measure_calls,
    time_job,
    time_run,
    time_thread,
)
from tracking.timings.summary import summarize


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that stands still until it is set forward."""

    class Clock:
        now = 1_000.0

        def advance(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(stopwatch, "now_s", lambda: clock.now)
    return clock


def spend(clock, name, seconds):
    with measure(name):
        clock.advance(seconds)


def test_pieces_are_in_order_and_add_up_to_the_run(clock, tmp_path):
    """What is measured inside a piece is taken off it, and what nothing measured is a line of its own."""
    with time_run(started=clock.now - 2.0) as times:
        times.keep_in(tmp_path)
        with measure("checking"):
            clock.advance(1.0)
            spend(clock, "waiting", 3.0)
            clock.advance(0.5)
        clock.advance(0.25)
        spend(clock, "report", 1.0)
    [run] = read_runs(tmp_path)
    assert [(span.name, span.start - run.start, span.seconds) for span in run.spans] == [
        ("importing", 0.0, 2.0),
        ("checking", 2.0, 1.0),
        ("waiting", 3.0, 3.0),
        ("checking", 6.0, 0.5),
        ("report", 6.75, 1.0),
    ]
    assert all(one.end <= other.start for one, other in zip(run.spans, run.spans[1:], strict=False))
    [row] = summarize(run)
    assert [(each.name, each.seconds) for each in row.activities] == [
        ("importing", 2.0), ("checking", 1.5), ("waiting", 3.0), ("report", 1.0), ("not measured", 0.25)
    ]  # fmt: skip
    assert sum(each.seconds for each in row.activities) == pytest.approx(run.end - run.start)


def test_a_resumed_study_has_both_runs(clock, tmp_path):
    """Each run adds its spans to the same file, and the pause between them belongs to neither."""
    for name in ("first", "second"):
        with time_run() as times:
            times.keep_in(tmp_path)
            spend(clock, name, 2.0)
        clock.advance(3600.0)
    first, second = read_runs(tmp_path)
    assert [span.name for span in first.spans] == ["first"]
    assert [span.name for span in second.spans] == ["second"]
    assert (first.end - first.start, second.end - second.start) == (2.0, 2.0)


def test_a_long_run_leaves_a_bounded_number_of_spans(clock, tmp_path):
    """Pieces shorter than a thousandth of the run are summed up by name: none of their time is lost."""
    with time_run() as times:
        times.keep_in(tmp_path)
        for _ in range(50_000):
            spend(clock, "waiting", 0.3)
            spend(clock, "recording", 0.1)
            clock.advance(0.1)
    [run] = read_runs(tmp_path)
    assert len(run.spans) < 3_000
    spent = {each.name: each.seconds for each in summarize(run)[0].activities}
    assert spent["waiting"] == pytest.approx(15_000)
    assert spent["recording"] == pytest.approx(5_000)
    assert spent["not measured"] == pytest.approx(5_000, rel=1e-3)


def test_a_wait_that_is_cut_into_ticks_is_one_span(clock, tmp_path):
    """Neighbours of one name are one span."""
    with time_run() as times:
        times.keep_in(tmp_path)
        for _ in range(10):
            spend(clock, "waiting", 0.5)
            clock.advance(0.001)
    [run] = read_runs(tmp_path)
    assert [(span.name, pytest.approx(span.seconds)) for span in run.spans] == [("waiting", 5.0)]


def test_the_last_seconds_can_be_credited_to_another_activity(clock):
    """A library that reports a piece of its work at the end takes that off what surrounds it."""
    with time_job("fleet-1", "training") as spans:
        clock.advance(1.0)
        clock.advance(2.0)
        credit("compiling", 2.0)
        clock.advance(3.0)
        credit("compiling", 100.0)  # nothing is counted twice
    assert [(span.name, span.seconds) for span in spans] == [("training", 1.0), ("compiling", 5.0)]
    assert {span.job for span in spans} == {"fleet-1"}


def test_nothing_is_measured_outside_a_study(clock):
    """Code that is measured runs as ever where no study is at work, and in threads that belong to none."""
    calls = []

    @measure_calls("work")
    def work(number):
        calls.append(number)
        return number + 1

    assert work(1) == 2
    with time_thread(None, "delivery"):
        assert work(2) == 3
    credit("work", 1.0)
    flush_times()
    assert calls == [1, 2]


def test_an_error_ends_its_piece(clock, tmp_path):
    """What follows an error that was handled is not counted as the failed piece."""
    with time_run() as times:
        times.keep_in(tmp_path)
        with pytest.raises(ValueError, match="bad"), measure("failing"):
            clock.advance(1.0)
            raise ValueError("bad")
        spend(clock, "next", 2.0)
    [run] = read_runs(tmp_path)
    assert [(span.name, span.seconds) for span in run.spans] == [("failing", 1.0), ("next", 2.0)]


def test_a_run_within_a_run_goes_on_with_it(clock, tmp_path):
    """The command line measures from the start of its process, and the operation below it adds to that."""
    with time_run(started=clock.now - 1.0) as outer, time_run() as inner:
        assert inner is outer
        inner.keep_in(tmp_path)
    [run] = read_runs(tmp_path)
    assert [span.name for span in run.spans] == ["importing"]


def test_spans_are_written_while_the_study_runs(clock, tmp_path):
    """A killed process loses what its last second added, and no more."""
    with time_run() as times:
        times.keep_in(tmp_path)
        for index in range(5):
            spend(clock, f"piece {index}", 2.0)
        [run] = read_runs(tmp_path)
    assert [span.name for span in run.spans] == ["piece 0", "piece 1", "piece 2", "piece 3"]


def test_time_before_the_run_does_not_count(clock):
    """What a process did before it took the study, such as loading a backend, is no time of the study."""
    times = Times(clock.now)
    times.add("worker 1", "importing", clock.now - 5.0, clock.now + 1.0)
    times.add("worker 1", "training", clock.now - 5.0, clock.now - 4.0)
    assert times.take() == (Span("worker 1", "importing", clock.now, clock.now + 1.0, 1.0),)


def test_the_supervisor_is_the_row_of_the_thread(clock, tmp_path):
    """Other rows stand beside it."""
    with time_run() as times:
        times.keep_in(tmp_path)
        spend(clock, "waiting", 1.0)
        times.add("worker 1", "training", clock.now - 0.5, clock.now, job="trial-3")
    [run] = read_runs(tmp_path)
    assert {(span.row, span.job) for span in run.spans} == {(SUPERVISOR, ""), ("worker 1", "trial-3")}
