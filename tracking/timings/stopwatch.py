"""Measurement of a study's time: `measure` around a piece of work, wherever it is done.

A stopwatch follows one thread. Its pieces never overlap: what is measured inside a piece is taken off it. Pieces
shorter than a thousandth of the run are summed up by name, so that a study of a week leaves some thousand spans.
Outside a study nothing is measured.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from tracking.timings.spans import SUPERVISOR, TIMINGS_FILE, Span, append_spans, mark_whole

P = ParamSpec("P")
R = TypeVar("R")
_SHORTEST_S: Final = 0.02  # chosen: a page shows no shorter piece
_SHARE: Final = 1 / 1000
_BUNDLE_S: Final = 0.5
_BUNDLE_SHARE: Final = 1 / 100
_GAP_S: Final = 0.005
_WRITE_EVERY_S: Final = 1.0


def now_s() -> float:
    """Return seconds since 1970."""
    return time.time()


class Times:
    """Spans of one run of a study.

    Args:
        started: when the run started.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self._rows: dict[str, _Row] = {}
        self._closed: list[Span] = []
        self._file: Path | None = None
        self._written_at = started

    def add(self, row: str, name: str, start: float, end: float, seconds: float | None = None, job: str = "") -> None:
        """Add a piece of a row's time; what lies before the run does not count."""
        start = max(start, self.started)
        if end <= start:
            return
        spent_s = min(end - start, end - start if seconds is None else seconds)
        if row not in self._rows:
            self._rows[row] = _Row(row, self.started, self._keep)
        self._rows[row].add(name, start, end, spent_s, job)
        if self._file is not None and end - self._written_at > _WRITE_EVERY_S:
            self._write()

    @property
    def origin(self) -> tuple[str, float] | None:
        """Folder that keeps the spans and start of the run, for another process; None where none keeps them."""
        return None if self._file is None else (str(self._file.parent), self.started)

    def keep_in(self, folder: Path) -> None:
        """Write the spans so far, and from now on, into the folder of the study."""
        self._file = folder / TIMINGS_FILE
        self._write()

    def take(self) -> tuple[Span, ...]:
        """Return the spans that are not written."""
        for row in self._rows.values():
            row.close()
        taken, self._closed = self._closed, []
        return tuple(taken)

    def flush(self) -> None:
        """Write every span."""
        if self._file is not None:
            append_spans(self._file, self.started, self.take())

    def finish(self) -> None:
        """Write every span, and that the run has all of them."""
        self.flush()
        if self._file is not None:
            mark_whole(self._file, self.started)

    def _write(self) -> None:
        self._written_at = now_s()
        if self._file is not None and self._closed:
            written, self._closed = self._closed, []
            append_spans(self._file, self.started, written)

    def _keep(self, span: Span) -> None:
        self._closed.append(span)


class _Row:
    """Spans of a row in the making: long pieces one by one, short ones as a sum for each name."""

    def __init__(self, name: str, started: float, emit: Callable[[Span], None]) -> None:
        self._name = name
        self._started = started
        self._emit = emit
        self._last: Span | None = None
        self._bundle: dict[str, tuple[float, str]] = {}
        self._bundle_start = self._bundle_end = started

    def add(self, name: str, start: float, end: float, seconds: float, job: str) -> None:
        age_s = end - self._started
        if end - start >= max(_SHORTEST_S, _SHARE * age_s):
            self._add_long(Span(self._name, name, start, end, seconds, job))
            return
        if not self._bundle:
            self._bundle_start = start
        sum_s, known = self._bundle.get(name, (0.0, job))
        self._bundle[name] = sum_s + seconds, job if job == known else ""
        self._bundle_end = max(self._bundle_end, end)
        if end - self._bundle_start > max(_BUNDLE_S, _BUNDLE_SHARE * age_s):
            self._close_bundle()

    def close(self) -> None:
        self._close_bundle()
        if self._last is not None:
            self._emit(self._last)
            self._last = None

    def _add_long(self, span: Span) -> None:
        last = self._last
        # A wait is cut by each look at the clock: one span.
        if last is not None and (last.name, last.job) == (span.name, span.job) and span.start - last.end < _GAP_S:
            self._last = Span(span.row, span.name, last.start, span.end, last.seconds + span.seconds, span.job)
            return
        if last is not None:
            self._emit(last)
        self._last = span

    def _close_bundle(self) -> None:
        for name, (seconds, job) in self._bundle.items():
            whole_s = self._bundle_end - self._bundle_start
            self._emit(Span(self._name, name, self._bundle_start, self._bundle_end, min(seconds, whole_s), job))
        self._bundle = {}


class Stopwatch:
    """Activities of one thread, each within another; the innermost one gets the time.

    Args:
        times: gets the pieces.
        row: name of the thread's row.
        job: job that the thread works on.
    """

    def __init__(self, times: Times, row: str, job: str = "") -> None:
        self.times = times
        self._row = row
        self._job = job
        self._names: list[str] = []
        self._since = 0.0

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure the block as `name`."""
        self._settle(now_s())
        self._names.append(name)
        depth = len(self._names)
        try:
            yield
        finally:
            self._settle(now_s())
            # A generator that was left in the middle closes late: all within it is over too.
            del self._names[depth - 1 :]

    def credit(self, name: str, seconds: float) -> None:
        """Count the last seconds as `name`, since a library reports a piece of its work at its end."""
        if self._names:
            end = now_s()
            start = max(self._since, end - seconds)
            self._settle(start)
            self.times.add(self._row, name, start, end, job=self._job)
            self._since = end

    def _settle(self, end: float) -> None:
        if self._names:
            self.times.add(self._row, self._names[-1], self._since, end, job=self._job)
        self._since = end


_current: ContextVar[Stopwatch | None] = ContextVar("stopwatch", default=None)


def get_times() -> Times | None:
    """Return the times of the study that this thread works on; None outside a study."""
    stopwatch = _current.get()
    return stopwatch.times if stopwatch is not None else None


def flush_times() -> None:
    """Write every span of the study that this thread works on, for those who read the file now."""
    if (times := get_times()) is not None:
        times.finish()


@contextmanager
def measure(name: str) -> Iterator[None]:
    """Measure the block as `name`, if this thread works on a study."""
    if (stopwatch := _current.get()) is None:
        yield
        return
    with stopwatch.measure(name):
        yield


def measure_calls(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that measures each call of a function, which is no generator, as `name`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with measure(name):
                return function(*args, **kwargs)

        return call

    return decorate


def credit(name: str, seconds: float) -> None:
    """Count the last seconds of this thread as `name`; see `Stopwatch.credit`."""
    if (stopwatch := _current.get()) is not None:
        stopwatch.credit(name, seconds)


@contextmanager
def time_run(started: float | None = None) -> Iterator[Times]:
    """Measure this thread's work on a study until the block ends; within such a block, go on with that one.

    Args:
        started: when the run started; now by default. Time before the block is spent on starting.
    """
    if (times := get_times()) is not None:
        yield times
        return
    now = now_s()
    times = Times(min(now, started) if started is not None else now)
    times.add(SUPERVISOR, "importing", times.started, now)
    token = _current.set(Stopwatch(times, SUPERVISOR))
    try:
        yield times
    finally:
        _current.reset(token)
        times.finish()


@contextmanager
def time_thread(times: Times | None, row: str, job: str = "") -> Iterator[None]:
    """Measure this thread's work as a row of a run; measure nothing where that is None."""
    token = _current.set(Stopwatch(times, row, job) if times is not None else None)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def time_job(job: str, activity: str) -> Iterator[list[Span]]:
    """Measure the block as a worker's job; the list has its spans when the block has ended."""
    times, spans = Times(now_s()), list[Span]()
    with time_thread(times, "", job), measure(activity):
        yield spans
    spans += times.take()
