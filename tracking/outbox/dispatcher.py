"""The dispatcher: a thread that delivers the outbox's rows to a record sink, in order.

Training never waits for MLflow. While MLflow is away, the thread tries again without end, at growing intervals. A row
that MLflow refuses (no outage: for example a parameter logged again with another value) is set aside after a few
attempts. It gets another chance every few minutes, when the study ends, and when delivery next starts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import tenacity

from tracking.outbox.outbox import Backlog, Outbox, Row
from tracking.outbox.records import TrialRecord
from tracking.outbox.sink import DeliveryEndedError, RecordSink, RefusedPartsError, Severity, SinkFactory
from tracking.store.database import Store
from tracking.testing.failpoints import hit
from tracking.timings.spans import DELIVERY
from tracking.timings.stopwatch import Times, get_times, measure, time_thread

# Attempts before a row is set aside. An outage costs none.
_ATTEMPTS: Final = {"refused": 3, "unclear": 30}
_MOST_ATTEMPTS: Final = max(_ATTEMPTS.values())
_FAILURES: Final[Mapping[Severity, str]] = {
    "outage": "MLflow does not answer",
    "unclear": "MLflow answers with an error",
    "refused": "a record was refused",
}
# Chosen: each chance costs a refused row one more request.
_SECOND_CHANCE_S: Final = 300.0
# Chosen: a trial has some twenty rows where it is delivered while it trains.
_WINDOW_ROWS: Final = 2000
_POLL_S: Final = 0.5
_FLUSH_POLL_S: Final = 0.05
_LONGEST_MESSAGE: Final = 500
_LEAVING_S: Final = 2.0
_log = logging.getLogger(__name__)
# Without a handler Python would print tracebacks over the progress bars; the interfaces choose a handler.
_log.addHandler(logging.NullHandler())


class OutboxDispatcher:
    """Delivery of the outbox of one study, or of all, in a thread; a `Delivery`.

    Only one process may deliver a study's rows at a time, by the lease on the study.
    """

    def __init__(
        self,
        store: Store,
        connect: SinkFactory,
        *,
        study: str | None = None,
        longest_pause_s: float = 10.0,
        may_deliver: Callable[[], bool] | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare delivery; nothing is imported or opened before `start`.

        Args:
            store: the database that holds the outbox.
            connect: connects to the sink; called in the thread.
            study: deliver the rows of this study; of every study if None.
            longest_pause_s: the longest wait between two attempts while MLflow is away.
            may_deliver: checked before each request and before each write to the store; delivery ends when it
                returns False. Always allowed if None. May be set until `start`.
            on_change: called in the thread when `last_error` or `is_away` have changed.
        """
        self._outbox = Outbox(store)
        self._study = study
        self._connect = connect
        self._longest_pause_s = longest_pause_s
        self.may_deliver = may_deliver
        self._on_change = on_change
        # `_due` ends the wait of `start`, `_closing` shortens pauses for the last flush, `_halt` ends the thread.
        self._due = threading.Event()
        self._closing = threading.Event()
        self._halt = threading.Event()
        # Set when the flush finds no row left.
        self._is_drained = threading.Event()
        # Held during writes, so that `stop` does not return in the middle of one.
        self._writing = threading.Lock()
        self._is_abandoned = False
        self._is_hurried = False
        self._thread: threading.Thread | None = None
        self._times: Times | None = None
        self._most_attempts = dict(_ATTEMPTS)
        self._second_chance_at = time.monotonic() + _SECOND_CHANCE_S
        self.last_error = ""
        # Whether the last attempt found MLflow away: a refusal is an answer.
        self.is_away = False
        self.is_connected = False

    def start(self, within_s: float = 0.0) -> None:
        """Start the thread; rows that were set aside earlier get another chance. See `Delivery`."""
        if within_s <= 0:
            self._due.set()
        if self._thread is not None:
            return
        self._outbox.retry_set_aside(self._study)
        # A daemon, so that a request that hangs cannot hold up the end of the process.
        self._times = get_times()
        self._thread = threading.Thread(target=self._run, args=(within_s,), name="mlflow-delivery", daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """End the wait of `stop`; safe to call from a signal handler."""
        # No event: it has a lock, which the interrupted thread may hold at this moment.
        self._is_hurried = True

    def stop(self, flush_s: float) -> Backlog:
        """Deliver waiting rows for at most `flush_s` seconds, end the thread, and return the backlog.

        A request that hangs is abandoned after two more seconds with its daemon thread, which sends and writes
        nothing from then on.
        """
        deadline = time.monotonic() + flush_s
        if flush_s > 0 and self._is_running():
            # One attempt each: the flush must not spend its time on them.
            self._outbox.retry_set_aside(self._study, attempts=_MOST_ATTEMPTS - 1)
        self._closing.set()
        if flush_s <= 0:
            self._halt.set()
        self._due.set()
        # In short waits for the sake of `hurry`.
        while self._is_running() and not self._is_hurried and time.monotonic() < deadline:
            if self._is_drained.wait(_FLUSH_POLL_S):
                break
        self._halt.set()
        if self._thread is not None and not self._is_abandoned:
            self._thread.join(timeout=_LEAVING_S)
            self._abandon()
        return self._outbox.read_backlog(self._study)

    def _abandon(self) -> None:
        """Prevent further writes of the thread; wait for the present one, but not without bounds."""
        is_free = self._writing.acquire(timeout=_LEAVING_S)
        self._is_abandoned = True
        if is_free:
            self._writing.release()

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _check(self) -> None:
        if self._is_abandoned:
            raise DeliveryEndedError("delivery was stopped")
        if self.may_deliver is not None and not self.may_deliver():
            raise DeliveryEndedError("another process works on the study now, and delivers its records")

    def _write(self, change: Callable[[], None]) -> None:
        with self._writing:
            self._check()
            change()

    def _run(self, within_s: float) -> None:
        with time_thread(self._times, DELIVERY):
            self._deliver_until_stopped(within_s)

    def _deliver_until_stopped(self, within_s: float) -> None:
        self._due.wait(within_s)
        while not self._halt.is_set():
            try:
                self._deliver_until_halted()
            except DeliveryEndedError as ended:
                self._note(str(ended))
                return
            except Exception as error:  # outermost loop of the thread: only `stop` may end it
                _log.exception("delivery to MLflow was interrupted and starts again")
                self._note(_describe_error(error, "unclear"))
                # A defect that repeats must not take a whole CPU core.
                self._pause(5.0)

    def _note(self, error: str, *, is_away: bool | None = None) -> None:
        """Note the result of an attempt, and whether it found MLflow away; as before where None."""
        before = self.last_error, self.is_away
        self.last_error, self.is_away = error, self.is_away if is_away is None else is_away
        if (self.last_error, self.is_away) != before:
            self._on_change()

    def _deliver_until_halted(self) -> None:
        with measure("connecting to MLflow"):
            sink = self._make_retrying(self._is_connect_retried)(self._connect, self._check)
        self.is_connected = True
        for opened in self._outbox.list_opened(self._study):
            sink.remember(opened)
        while not self._halt.is_set():
            # Before the rows are read, since the last ones may be added in between.
            is_flushing = self._closing.is_set()
            rows = self._outbox.read_next_rows(self._study, _WINDOW_ROWS)
            for together in group_rows(rows, sink.trials_together):
                is_settled = self._deliver(sink, together)
                if self._halt.is_set():
                    return
                # Later rows need the earlier ones, so all are read again.
                if not is_settled:
                    break
            if is_flushing and not rows:
                self._is_drained.set()
                self._halt.wait(_FLUSH_POLL_S)
            # A pause after a few rows: rows that are added meanwhile are delivered together.
            elif len(rows) < _WINDOW_ROWS:
                self._closing.wait(_POLL_S)
            self._retry_set_aside_rows()

    def _deliver(self, sink: RecordSink, rows: Sequence[Row]) -> bool:
        """Deliver rows, wait for the end of any outage, and return whether the next rows may follow.

        A failure that is no outage counts as an attempt. The next rows may follow once these are set aside.
        """
        self._check()
        severity: Severity = "outage"

        def is_outage(error: BaseException) -> bool:
            # tenacity does not pass on the result of this predicate.
            nonlocal severity
            if not isinstance(error, Exception) or isinstance(error, DeliveryEndedError):
                return False
            severity = sink.classify_error(error)
            if severity == "outage":
                message = _describe_error(error, severity)
                self._note(message, is_away=True)
                self._write(lambda: self._outbox.record_error(rows[:1], message, attempts=rows[0].attempts))
            return severity == "outage"

        try:
            with measure("delivering to MLflow"):
                self._make_retrying(is_outage)(sink.deliver, [row.record for row in rows])
        # `_halt` ends the attempts with a RetryError.
        except (tenacity.RetryError, DeliveryEndedError):
            self._check()
            return False
        except Exception as error:
            return self._count_failure(rows, error, severity)
        hit("rows-delivered")
        self._write(lambda: self._outbox.acknowledge(rows))
        hit("rows-acknowledged")
        self._most_attempts = dict(_ATTEMPTS)
        self._note("", is_away=False)
        return True

    def _count_failure(self, rows: Sequence[Row], error: Exception, severity: Severity) -> bool:
        """Record a failure and return whether it was the last one allowed, so that the rows are set aside."""
        attempts = rows[0].attempts + 1
        message = _describe_error(error, severity)
        self._note(message, is_away=False)
        # All other parts were delivered, so neither the server is at fault nor the moment.
        is_partial = isinstance(error, RefusedPartsError)
        is_last = attempts >= self._most_attempts[severity] or (is_partial and len(rows) == 1)
        self._write(lambda: self._outbox.record_error(rows, message, attempts=attempts, set_aside=is_last))
        if not is_last:
            self._pause(0.0 if is_partial else min(self._longest_pause_s, 0.2 * 2**attempts))
            return False
        _log.error("set aside %d rows for MLflow: %s", len(rows), message, exc_info=error)
        if is_partial:
            return True
        # If the fault is the server's, the next rows must not wait as long as these did.
        self._most_attempts = dict.fromkeys(_ATTEMPTS, min(_ATTEMPTS.values()))
        return True

    def _retry_set_aside_rows(self) -> None:
        """Retry rows that were set aside, every few minutes: the cause may be gone."""
        if time.monotonic() >= self._second_chance_at:
            self._second_chance_at = time.monotonic() + _SECOND_CHANCE_S
            self._write(lambda: self._outbox.retry_set_aside(self._study, attempts=_MOST_ATTEMPTS - 1))

    def _make_retrying(self, is_outage: Callable[[BaseException], bool]) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_outage),
            # The random part separates processes that lost MLflow at the same moment.
            wait=tenacity.wait_exponential(multiplier=0.2, max=self._longest_pause_s) + tenacity.wait_random(0, 0.3),
            stop=tenacity.stop_when_event_set(self._halt),
            sleep=self._pause,
        )

    def _is_connect_retried(self, error: BaseException) -> bool:
        if isinstance(error, DeliveryEndedError):
            return False
        self._note(_describe_error(error, "outage"), is_away=True)
        return True

    def _pause(self, seconds: float) -> None:
        """Sleep; once `stop` was called, only briefly, so that the flush tries often."""
        if not self._closing.wait(seconds):
            return
        self._halt.wait(min(seconds, 0.5))


def group_rows(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    """Yield batches of rows, in order: rows of at most so many trials together, any other row alone.

    A row that failed before is sent alone too, so that a bad row does not hold up others.
    """
    together: list[Row] = []
    trials: set[tuple[str, int]] = set()
    for row in rows:
        is_of_trial = isinstance(row.record, TrialRecord) and row.attempts == 0
        trial = (row.study, row.record.number) if isinstance(row.record, TrialRecord) else None
        if together and (not is_of_trial or (len(trials) == most and trial not in trials)):
            yield together
            together, trials = [], set()
        if is_of_trial and trial is not None:
            together.append(row)
            trials.add(trial)
        else:
            yield [row]
    if together:
        yield together


def _describe_error(error: BaseException, severity: Severity) -> str:
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else ""
    if isinstance(error, RefusedPartsError):
        return first[:_LONGEST_MESSAGE]
    return f"{_FAILURES[severity]}: {type(error).__name__}: {first}"[:_LONGEST_MESSAGE]
