"""Rows on their way to MLflow: stored with the study's own state, delivered in order, deleted when acknowledged.

Training never waits for MLflow. A thread delivers; while MLflow is away it tries again for ever, ever more slowly. A
row that MLflow refuses (not an outage: a parameter logged again with another value) is set aside after a few attempts
with its error, so that it does not hold up the study; it is tried again when delivery next starts.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Protocol

import sqlalchemy as sa
import tenacity

from tracking import records
from tracking.records import Record, StudyOpened, TrialRecord
from tracking.store import Store, now_ms, outbox

Severity = Literal["outage", "unclear", "refused"]

_KINDS: Final[Mapping[str, Callable[..., Record]]] = {
    kind.__name__: kind
    for kind in (
        records.StudyOpened,
        records.TrialStarted,
        records.EpochsRecorded,
        records.TrialFinished,
        records.ModelKept,
        records.ModelDisplaced,
        records.ParametersDrawn,
        records.StudyClosed,
    )
}
# How often a row is tried before it is set aside. An outage costs no attempt.
_ATTEMPTS: Final[Mapping[Severity, int]] = {"refused": 3, "unclear": 30}
_WINDOW_ROWS: Final = 400
# Requests are fewer where trials are told of together; but a failure in between repeats all of them.
_TRIALS_TOGETHER: Final = 10
_POLL_S: Final = 0.5
_log = logging.getLogger(__name__)
# Without a handler Python would print tracebacks over the live progress; the doors decide where they go.
_log.addHandler(logging.NullHandler())


class Deliverer(Protocol):
    """Where rows go."""

    def remember(self, opened: StudyOpened) -> None:
        """Take note of a study whose `StudyOpened` was delivered by an earlier process."""

    def deliver(self, records: Sequence[Record]) -> None:
        """Deliver records in their order; delivering any of them again must change nothing."""

    def severity(self, error: Exception) -> Severity:
        """Say whether an error of `deliver` is an outage, the record's own fault, or could be either."""


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
    parked: int
    last_error: str


class Outbox:
    """The table of rows to deliver. Reading and adding needs no MLflow."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, rows: Sequence[Record], connection: sa.Connection | None = None) -> None:
        """Store rows in one transaction, or as part of the transaction of `connection` (`Store.write`)."""
        if not rows:
            return
        with self._store.write(connection) as joined:
            joined.execute(sa.insert(outbox), [_encoded(record) for record in rows])

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
        return Waiting(counts.get("waiting", 0), counts.get("parked", 0), error or "")

    def next_rows(self, study: str | None, limit: int) -> list[Row]:
        """Return the oldest waiting rows."""
        with self._store.read() as connection:
            found = connection.execute(
                sa.select(outbox).where(*_of(study), outbox.c.status == "waiting").order_by(outbox.c.id).limit(limit)
            )
            return [Row(row.id, row.study, _decoded(row.kind, row.payload), row.attempts) for row in found]

    def opened(self, study: str | None) -> list[StudyOpened]:
        """Return the last delivered `StudyOpened` of each study; later rows of the study need it."""
        with self._store.read() as connection:
            found = connection.execute(
                sa.select(outbox).where(*_of(study), outbox.c.status == "kept").order_by(outbox.c.id)
            ).all()
        decoded = [_decoded(row.kind, row.payload) for row in found]
        return [record for record in decoded if isinstance(record, StudyOpened)]

    def acknowledge(self, rows: Sequence[Row]) -> None:
        """Delete delivered rows; the last `StudyOpened` of a study is kept aside."""
        with self._store.write() as connection:
            for row in rows:
                if isinstance(row.record, StudyOpened):
                    connection.execute(sa.delete(outbox).where(*_of(row.study), outbox.c.status == "kept"))
                    connection.execute(
                        sa.update(outbox).where(outbox.c.id == row.id).values(status="kept", last_error="")
                    )
            done = [row.id for row in rows if not isinstance(row.record, StudyOpened)]
            connection.execute(sa.delete(outbox).where(outbox.c.id.in_(done)))

    def note_error(self, rows: Sequence[Row], error: str, *, attempts: int, park: bool = False) -> None:
        """Store an error with rows, the number of attempts so far, and set them aside with `park`."""
        values: dict[str, object] = {"last_error": error, "attempts": attempts}
        if park:
            values["status"] = "parked"
        with self._store.write() as connection:
            ids = [row.id for row in rows]
            connection.execute(sa.update(outbox).where(outbox.c.id.in_(ids)).values(**values))

    def retry_parked(self, study: str | None = None) -> None:
        """Put rows that were set aside back into the line, at their old place."""
        with self._store.write() as connection:
            connection.execute(
                sa.update(outbox).where(*_of(study), outbox.c.status == "parked").values(status="waiting", attempts=0)
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
        longest_pause_s: float = 30.0,
    ) -> None:
        """Prepare delivery; nothing is imported or opened before `start`.

        Args:
            store: the database that holds the outbox.
            tracking_uri: MLflow's address; see `tracking.links.resolve`.
            artifact_root: where experiments that are created keep their artifacts; MLflow's choice if None.
            study: whose rows; every study's if None.
            connect: gives what rows are delivered to; the MLflow projection if None.
            longest_pause_s: the longest wait between two attempts while MLflow is away.
        """
        self._outbox = Outbox(store)
        self._study = study
        self._connect = connect or _mlflow_projection(store, tracking_uri, artifact_root)
        self._longest_pause_s = longest_pause_s
        self._closing = threading.Event()
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None
        self.last_error = ""

    def start(self) -> None:
        """Begin to deliver; rows that were set aside earlier get another chance."""
        self._outbox.retry_parked(self._study)
        self._thread = threading.Thread(target=self._run, name="mlflow-delivery", daemon=True)
        self._thread.start()

    def stop(self, flush_s: float) -> Waiting:
        """Deliver what waits for at most `flush_s` seconds, end the thread, and return what is left."""
        self._closing.set()
        deadline = time.monotonic() + flush_s
        while self._is_running() and time.monotonic() < deadline and self._outbox.pending(self._study):
            self._halt.wait(0.05)
        self._halt.set()
        if self._thread is not None:
            # What is being sent now may finish; a request that hangs is left behind with its daemon thread.
            self._thread.join(timeout=max(2.0, deadline - time.monotonic()))
        return self._outbox.waiting(self._study)

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        while not self._halt.is_set():
            try:
                self._deliver_until_halted()
            except Exception as error:  # the outermost loop of the thread: nothing may end it but `stop`
                _log.exception("delivery to MLflow was interrupted and begins anew")
                self.last_error = _one_line(error)
                self._pause(5.0)

    def _deliver_until_halted(self) -> None:
        target = self._retrying(lambda error: True)(self._connect)
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

    def _deliver(self, target: Deliverer, rows: Sequence[Row]) -> bool:
        """Deliver rows, waiting out any outage, and say whether the next may follow.

        A failure that is no outage counts as an attempt; the next may not follow before these rows are set aside.
        """

        def is_outage(error: BaseException) -> bool:
            if not isinstance(error, Exception) or target.severity(error) != "outage":
                return False
            self._outbox.note_error(rows[:1], _one_line(error), attempts=rows[0].attempts)
            return True

        try:
            self._retrying(is_outage)(target.deliver, [row.record for row in rows])
        except tenacity.RetryError:
            return False
        except Exception as error:
            return self._count_failure(rows, error, _ATTEMPTS.get(target.severity(error), 1))
        self._outbox.acknowledge(rows)
        self.last_error = ""
        return True

    def _count_failure(self, rows: Sequence[Row], error: Exception, most: int) -> bool:
        """Note a failure and return whether it was the last that the rows are allowed."""
        attempts = rows[0].attempts + 1
        self.last_error = _one_line(error)
        self._outbox.note_error(rows, self.last_error, attempts=attempts, park=attempts >= most)
        if attempts >= most:
            _log.error("set aside %d rows for MLflow: %s", len(rows), self.last_error, exc_info=error)
            return True
        self._pause(min(self._longest_pause_s, 0.2 * 2**attempts))
        return False

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


def _mlflow_projection(store: Store, tracking_uri: str, artifact_root: str | None) -> Callable[[], Deliverer]:
    def connect() -> Deliverer:
        from tracking.mlflow_projection import Projection  # MLflow takes seconds to import

        return Projection(tracking_uri, artifact_root=artifact_root, namespace=store.identity)

    return connect


def _of(study: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    return () if study is None else (outbox.c.study == study,)


def _encoded(record: Record) -> dict[str, object]:
    return {
        "study": record.study,
        "kind": type(record).__name__,
        "payload": json.dumps(asdict(record)),
        "created_ms": now_ms(),
        "attempts": 0,
        "last_error": "",
        "status": "waiting",
    }


def _decoded(kind: str, payload: str) -> Record:
    values: dict[str, Any] = json.loads(payload)
    if "parameters" in values:
        values["parameters"] = tuple(values["parameters"])
    if "epochs" in values:
        values["epochs"] = tuple((epoch, at_ms, metrics) for epoch, at_ms, metrics in values["epochs"])
    return _KINDS[kind](**values)


def _one_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:500]
