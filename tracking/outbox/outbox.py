"""Rows on their way to MLflow: stored with the study's own state, delivered in order, deleted when acknowledged.

Training never waits for MLflow. A thread delivers; while MLflow is away it tries again for ever, ever more slowly. A
row that MLflow refuses (not an outage: a parameter logged again with another value) is set aside after a few attempts
with its error, so that it does not hold up the study; it gets another chance every few minutes, when the study ends,
and when delivery next starts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
import tenacity

from tracking.outbox.records import Record, StudyClosed, StudyOpened, TrialRecord, decoded, encoded
from tracking.outbox.sink import Deliverer, DeliveryEndedError, Severity
from tracking.store.database import Store, now_ms, outbox
from tracking.testing.failpoints import hit

# Of these the last one that was delivered stays: later rows of a study need its opening, `rebuild-tracking` its end.
_KEPT: Final = (StudyOpened, StudyClosed)
# How often a row is tried before it is set aside. An outage costs no attempt.
_ATTEMPTS: Final = {"refused": 3, "unclear": 30}
_MOST_ATTEMPTS: Final = max(_ATTEMPTS.values())
_SECOND_CHANCE_S: Final = 300.0
_WINDOW_ROWS: Final = 400
# Requests are fewer where trials are told of together; but a failure in between repeats all of them.
_TRIALS_TOGETHER: Final = 10
_POLL_S: Final = 0.5
_LEAVING_S: Final = 2.0
_log = logging.getLogger(__name__)
# Without a handler Python would print tracebacks over the live progress; the doors decide where they go.
_log.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Row:
    """One row of the outbox."""

    id: int
    study: str
    record: Record
    attempts: int


@dataclass(frozen=True)
class Waiting:
    """What has not arrived: rows waiting, rows set aside after errors, and the latest error."""

    pending: int
    set_aside: int
    last_error: str

    @property
    def rows(self) -> int:
        """Return how many rows MLflow has not taken."""
        return self.pending + self.set_aside


class Outbox:
    """The table of rows to deliver. Reading and adding needs no MLflow."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, rows: Sequence[Record], connection: sa.Connection | None = None) -> None:
        """Store rows in one transaction, or as part of the transaction of `connection` (`Store.write`)."""
        if not rows:
            return
        with self._store.write(connection) as joined:
            joined.execute(sa.insert(outbox), [_new_row(record) for record in rows])

    def add_again(self, study: str, rows: Sequence[Record], connection: sa.Connection) -> None:
        """Store rows of a study that may wait already: one that says the same as an earlier row takes its place."""
        told = {encoded(record) for record in rows}
        waiting = connection.execute(sa.select(outbox).where(*_of(study), outbox.c.status != "kept"))
        repeated = [row.id for row in waiting if (row.kind, row.payload) in told]
        for start in range(0, len(repeated), _WINDOW_ROWS):
            some = repeated[start : start + _WINDOW_ROWS]
            connection.execute(sa.delete(outbox).where(outbox.c.id.in_(some)))
        self.add(rows, connection)

    def pending(self, study: str | None = None) -> int:
        """Return how many rows wait, of one study or of all."""
        return self.waiting(study).pending

    def waiting(self, study: str | None = None) -> Waiting:
        """Return how many rows wait or were set aside, and the latest error."""
        with self._store.read() as connection:
            counted = sa.select(outbox.c.status, sa.func.count()).where(*_of(study)).group_by(outbox.c.status)
            counts = {row[0]: int(row[1]) for row in connection.execute(counted)}
            error = connection.scalar(
                sa.select(outbox.c.last_error)
                .where(*_of(study), outbox.c.last_error != "", outbox.c.status != "kept")
                .order_by(outbox.c.id.desc())
                .limit(1)
            )
        return Waiting(counts.get("waiting", 0), counts.get("set_aside", 0), error or "")

    def studies(self) -> tuple[str, ...]:
        """Return the studies of which something has not arrived, the longest waiting first."""
        with self._store.read() as connection:
            found = connection.execute(
                sa.select(outbox.c.study)
                .where(outbox.c.status != "kept")
                .group_by(outbox.c.study)
                .order_by(sa.func.min(outbox.c.id))
            )
            return tuple(row.study for row in found)

    def next_rows(self, study: str | None, limit: int) -> list[Row]:
        """Return the oldest waiting rows."""
        with self._store.read() as connection:
            found = connection.execute(
                sa.select(outbox).where(*_of(study), outbox.c.status == "waiting").order_by(outbox.c.id).limit(limit)
            )
            return [Row(row.id, row.study, decoded(row.kind, row.payload), row.attempts) for row in found]

    def opened(self, study: str | None) -> list[StudyOpened]:
        """Return the last delivered `StudyOpened` of each study; later rows of the study need it."""
        with self._store.read() as connection:
            found = connection.execute(
                sa.select(outbox).where(*_of(study), outbox.c.status == "kept").order_by(outbox.c.id)
            ).all()
        kept = [decoded(row.kind, row.payload) for row in found]
        return [record for record in kept if isinstance(record, StudyOpened)]

    def closed(self, study: str) -> StudyClosed | None:
        """Return the last `StudyClosed` of a study, delivered or not; None where it never ended or paused."""
        with self._store.read() as connection:
            found = connection.execute(
                sa.select(outbox)
                .where(*_of(study), outbox.c.kind == StudyClosed.__name__)
                .order_by(outbox.c.id.desc())
                .limit(1)
            ).one_or_none()
        record = None if found is None else decoded(found.kind, found.payload)
        return record if isinstance(record, StudyClosed) else None

    def acknowledge(self, rows: Sequence[Row]) -> None:
        """Delete delivered rows; the last `StudyOpened` and `StudyClosed` of a study are kept aside."""
        with self._store.write() as connection:
            for row in rows:
                if isinstance(row.record, _KEPT):
                    same = (*_of(row.study), outbox.c.kind == type(row.record).__name__, outbox.c.status == "kept")
                    connection.execute(sa.delete(outbox).where(*same))
                    kept = sa.update(outbox).where(outbox.c.id == row.id)
                    connection.execute(kept.values(status="kept", last_error=""))
            done = [row.id for row in rows if not isinstance(row.record, _KEPT)]
            connection.execute(sa.delete(outbox).where(outbox.c.id.in_(done)))

    def record_error(self, rows: Sequence[Row], error: str, *, attempts: int, set_aside: bool = False) -> None:
        """Store an error with rows, the number of attempts so far, and set them aside with `set_aside`."""
        values: dict[str, object] = {"last_error": error, "attempts": attempts}
        if set_aside:
            values["status"] = "set_aside"
        with self._store.write() as connection:
            ids = [row.id for row in rows]
            connection.execute(sa.update(outbox).where(outbox.c.id.in_(ids)).values(**values))

    def retry_set_aside(self, study: str | None = None, *, attempts: int = 0) -> None:
        """Put rows that were set aside back into the line, at their old place, as tried so often."""
        with self._store.write() as connection:
            connection.execute(
                sa.update(outbox)
                .where(*_of(study), outbox.c.status == "set_aside")
                .values(status="waiting", attempts=attempts)
            )


class OutboxDelivery:
    """Delivers the outbox of one study, or of all, from a thread of its own.

    Only one process may deliver a study's rows at a time: the holder of the study's lease.
    """

    def __init__(
        self,
        store: Store,
        tracking_uri: str,
        *,
        artifact_root: str | None = None,
        study: str | None = None,
        connect: Callable[[], Deliverer] | None = None,
        longest_pause_s: float = 10.0,
        may_deliver: Callable[[], bool] | None = None,
    ) -> None:
        """Prepare delivery; nothing is imported or opened before `start`.

        Args:
            store: the database that holds the outbox.
            tracking_uri: MLflow's address; see `tracking.mlflow.urls.resolve`.
            artifact_root: where experiments that are created keep their artifacts; MLflow's choice if None.
            study: whose rows; every study's if None.
            connect: gives what rows are delivered to; the MLflow projection if None.
            longest_pause_s: the longest wait between two attempts while MLflow is away.
            may_deliver: asked before each request and before anything is written to the store; where it says no,
                delivery is over. Always allowed if None. May be set until `start`.
        """
        self._outbox = Outbox(store)
        self._study = study
        self._connect = connect or _mlflow_projection(store, tracking_uri, artifact_root, self._check)
        self._longest_pause_s = longest_pause_s
        self.may_deliver = may_deliver
        self._closing = threading.Event()
        self._halt = threading.Event()
        self._writing = threading.Lock()
        self._is_left_behind = False
        self._is_hurried = False
        self._thread: threading.Thread | None = None
        self._most_attempts = dict(_ATTEMPTS)
        self._second_chance_at = time.monotonic() + _SECOND_CHANCE_S
        self.last_error = ""
        self.is_connected = False

    def start(self) -> None:
        """Begin to deliver; rows that were set aside earlier get another chance."""
        self._outbox.retry_set_aside(self._study)
        self._thread = threading.Thread(target=self._run, name="mlflow-delivery", daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """Let `stop` wait no longer; safe to call from a signal handler."""
        self._is_hurried = True

    def stop(self, flush_s: float) -> Waiting:
        """Deliver what waits for at most `flush_s` seconds, end the thread, and return what is left.

        A request that hangs is left behind after two more seconds with its daemon thread, which sends and writes
        nothing from then on.
        """
        self._closing.set()
        deadline = time.monotonic() + flush_s
        if flush_s > 0 and self._is_running():
            self._outbox.retry_set_aside(self._study, attempts=_MOST_ATTEMPTS - 1)
        while self._is_running() and not self._is_hurried and time.monotonic() < deadline:
            if not self._outbox.pending(self._study):
                break
            self._halt.wait(0.05)
        self._halt.set()
        if self._thread is not None and not self._is_left_behind:
            self._thread.join(timeout=_LEAVING_S)
            self._leave_behind()
        return self._outbox.waiting(self._study)

    def _leave_behind(self) -> None:
        """Let the thread write no more; what it is writing right now is waited for, within bounds."""
        is_ours = self._writing.acquire(timeout=_LEAVING_S)
        self._is_left_behind = True
        if is_ours:
            self._writing.release()

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _check(self) -> None:
        if self._is_left_behind:
            raise DeliveryEndedError("delivery was stopped")
        if self.may_deliver is not None and not self.may_deliver():
            raise DeliveryEndedError("the study is in another process's hands, which delivers its records")

    def _write(self, change: Callable[[], None]) -> None:
        with self._writing:
            self._check()
            change()

    def _run(self) -> None:
        while not self._halt.is_set():
            try:
                self._deliver_until_halted()
            except DeliveryEndedError as ended:
                self.last_error = str(ended)
                return
            except Exception as error:  # the outermost loop of the thread: nothing may end it but `stop`
                _log.exception("delivery to MLflow was interrupted and begins anew")
                self.last_error = _one_line(error)
                self._pause(5.0)

    def _deliver_until_halted(self) -> None:
        target = self._retrying(_is_no_end)(self._connect)
        self.is_connected = True
        for opened in self._outbox.opened(self._study):
            target.remember(opened)
        while not self._halt.is_set():
            rows = self._outbox.next_rows(self._study, _WINDOW_ROWS)
            for together in batches(rows):
                is_settled = self._deliver(target, together)
                if self._halt.is_set():
                    return
                if not is_settled:
                    break
            # Not at once after a few rows: what comes meanwhile is told together.
            if len(rows) < _WINDOW_ROWS and self._halt.wait(0.05 if self._closing.is_set() else _POLL_S):
                return
            self._give_second_chances()

    def _deliver(self, target: Deliverer, rows: Sequence[Row]) -> bool:
        """Deliver rows, waiting out any outage, and say whether the next may follow.

        A failure that is no outage counts as an attempt; the next may not follow before these rows are set aside.
        """
        self._check()
        severity: Severity = "outage"

        def is_outage(error: BaseException) -> bool:
            nonlocal severity
            if not isinstance(error, Exception) or isinstance(error, DeliveryEndedError):
                return False
            severity = target.severity(error)
            if severity == "outage":
                message = _one_line(error)
                self._write(lambda: self._outbox.record_error(rows[:1], message, attempts=rows[0].attempts))
            return severity == "outage"

        try:
            self._retrying(is_outage)(target.deliver, [row.record for row in rows])
        except (tenacity.RetryError, DeliveryEndedError):
            self._check()
            return False
        except Exception as error:
            return self._count_failure(rows, error, severity)
        hit("rows-delivered")
        self._write(lambda: self._outbox.acknowledge(rows))
        hit("rows-acknowledged")
        self._most_attempts = dict(_ATTEMPTS)
        self.last_error = ""
        return True

    def _count_failure(self, rows: Sequence[Row], error: Exception, severity: Severity) -> bool:
        """Note a failure and return whether it was the last that the rows are allowed."""
        attempts = rows[0].attempts + 1
        message = self.last_error = _one_line(error)
        is_last = attempts >= self._most_attempts[severity]
        self._write(lambda: self._outbox.record_error(rows, message, attempts=attempts, set_aside=is_last))
        if not is_last:
            self._pause(min(self._longest_pause_s, 0.2 * 2**attempts))
            return False
        _log.error("set aside %d rows for MLflow: %s", len(rows), message, exc_info=error)
        # Where the server is at fault after all, the next rows need not wait as long as these.
        self._most_attempts = dict.fromkeys(_ATTEMPTS, min(_ATTEMPTS.values()))
        return True

    def _give_second_chances(self) -> None:
        """Try what was set aside once more, every few minutes: what was wrong may have been mended."""
        if time.monotonic() >= self._second_chance_at:
            self._second_chance_at = time.monotonic() + _SECOND_CHANCE_S
            self._write(lambda: self._outbox.retry_set_aside(self._study, attempts=_MOST_ATTEMPTS - 1))

    def _retrying(self, is_outage: Callable[[BaseException], bool]) -> tenacity.Retrying:
        def note(state: tenacity.RetryCallState) -> None:
            if state.outcome is not None:
                self.last_error = _one_line(state.outcome.exception())

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_outage),
            wait=tenacity.wait_exponential(multiplier=0.2, max=self._longest_pause_s) + tenacity.wait_random(0, 0.3),
            stop=tenacity.stop_when_event_set(self._halt),
            sleep=self._pause,
            before_sleep=note,
        )

    def _pause(self, seconds: float) -> None:
        """Sleep; once `stop` was called, only briefly, so that the flush tries often."""
        if not self._closing.wait(seconds):
            return
        self._halt.wait(min(seconds, 0.5))


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield what is delivered together, in order: what is said of a few trials; anything else alone.

    Rows that failed before are sent alone too, so that a bad one does not take others with it.
    """
    together: list[Row] = []
    for row in rows:
        is_of_trial = isinstance(row.record, TrialRecord) and row.attempts == 0
        trials = {(each.study, each.record.number) for each in (*together, row) if isinstance(each.record, TrialRecord)}
        if together and (not is_of_trial or len(trials) > _TRIALS_TOGETHER):
            yield together
            together = []
        if is_of_trial:
            together.append(row)
        else:
            yield [row]
    if together:
        yield together


def _mlflow_projection(
    store: Store, tracking_uri: str, artifact_root: str | None, check: Callable[[], None]
) -> Callable[[], Deliverer]:
    def connect() -> Deliverer:
        from tracking.mlflow.projection import Projection  # MLflow takes seconds to import

        return Projection(tracking_uri, artifact_root=artifact_root, namespace=store.identity, check=check)

    return connect


def _is_no_end(error: BaseException) -> bool:
    return not isinstance(error, DeliveryEndedError)


def _of(study: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    return () if study is None else (outbox.c.study == study,)


def _new_row(record: Record) -> dict[str, object]:
    kind, payload = encoded(record)
    return {
        "study": record.study,
        "kind": kind,
        "payload": payload,
        "created_ms": now_ms(),
        "attempts": 0,
        "last_error": "",
        "status": "waiting",
    }


def _one_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:500]
