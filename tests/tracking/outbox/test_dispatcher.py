"""Delivery of the outbox: nothing lost, nothing out of order, no wait."""

import time

import pytest

from tracking.outbox.dispatcher import OutboxDispatcher, group_rows
from tracking.outbox.outbox import Backlog, Outbox
from tracking.outbox.records import EpochsRecorded, ModelDisplaced, StudyOpened, TrialFinished, TrialStarted
from tracking.outbox.sink import RefusedPartsError


class RefusedError(Exception):
    """Answer of the target to a record that it never accepts."""


class AwayError(Exception):
    """Answer of the target during an outage."""


class Target:
    """Sink that takes records, except during an outage, or those that it refuses."""

    trials_together = 10

    def __init__(self, *, away=False, refuses=None, error=None):
        self.away = away
        self.error = error or RefusedError("no such thing")
        self.refuses = refuses or (lambda record: False)
        self.delivered, self.remembered, self.tries = [], [], 0

    def remember(self, opened):
        self.remembered.append(opened.study)

    def deliver(self, records):
        self.tries += 1
        if self.away:
            raise AwayError("connection refused")
        if any(self.refuses(record) for record in records):
            raise self.error
        self.delivered.extend(records)

    def classify_error(self, error):
        return "outage" if isinstance(error, AwayError) else "refused"


def make_dispatcher(store, target, **options):
    return OutboxDispatcher(store, lambda check: target, longest_pause_s=0.1, **options)


def wait_until(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def list_kinds(batches):
    return [[(type(row.record).__name__, getattr(row.record, "number", None)) for row in batch] for batch in batches]


def test_rows_of_trials_are_delivered_together(store, a_study):
    """Rows of trials go together in their order, those of the study itself alone; none is left out."""
    outbox = Outbox(store)
    outbox.add([*a_study("s"), ModelDisplaced("s", 1), TrialStarted("s", 4, {}, 1)])
    rows = outbox.read_next_rows(None, 100)
    sent = list(group_rows(rows, 10))
    assert [row for batch in sent for row in batch] == rows
    assert [len(batch) for batch in sent] == [1, 16, 1, 1, 1]
    assert list_kinds(sent)[1][:4] == [
        ("TrialStarted", 0),
        ("EpochsRecorded", 0),
        ("EpochsRecorded", 0),
        ("TrialFinished", 0),
    ]


def test_only_a_few_trials_travel_together(store):
    """A failure repeats what was sent with it, which must not grow with the study."""
    outbox = Outbox(store)
    outbox.add([record for number in range(25) for record in (TrialStarted("s", number, {}, 1), make_finished(number))])
    assert [len(batch) for batch in group_rows(outbox.read_next_rows("s", 100), 10)] == [20, 20, 10]


def test_a_row_that_failed_travels_alone(store):
    """A row that was refused once takes no others with it, and keeps its place."""
    outbox = Outbox(store)
    outbox.add([make_finished(number) for number in range(4)])
    outbox.record_error(outbox.read_next_rows("s", 100)[1:2], "no", attempts=1)
    assert [
        [number for _, number in batch] for batch in list_kinds(group_rows(outbox.read_next_rows("s", 100), 10))
    ] == [
        [0],
        [1],
        [2, 3],
    ]


def make_finished(number):
    return TrialFinished("s", number, "complete", 1.0, {}, "", 9, "")


def test_rows_are_delivered_in_order_and_deleted(store, a_study):
    """Everything arrives in order and the outbox is empty afterwards."""
    outbox, target = Outbox(store), Target()
    outbox.add(a_study("s"))
    running = make_dispatcher(store, target)
    running.start()
    left = running.stop(20)
    assert (left.pending, left.set_aside, outbox.count_pending()) == (0, 0, 0)
    starts = [record.number for record in target.delivered if isinstance(record, TrialStarted)]
    assert isinstance(target.delivered[0], StudyOpened)
    assert starts == [0, 1, 2, 3]


def test_an_outage_is_waited_out(store, a_study):
    """While the target is away nothing is lost or set aside and the error is visible; then everything arrives."""
    outbox, target = Outbox(store), Target(away=True)
    records = a_study("s")
    outbox.add(records)
    running = make_dispatcher(store, target, study="s")
    running.start()
    wait_until(lambda: target.tries >= 6)
    assert outbox.read_backlog("s").pending == len(records)
    assert "connection refused" in running.last_error
    assert "connection refused" in outbox.read_backlog("s").last_error
    target.away = False
    left = running.stop(20)
    assert (left.pending, left.set_aside, running.last_error) == (0, 0, "")
    assert target.delivered[0] == records[0]
    assert target.delivered[-1] == records[-1]


def test_stopping_during_an_outage_leaves_the_rows(store, a_study):
    """`stop` returns after its time although the target is away, and returns how much waits."""
    outbox, target = Outbox(store), Target(away=True)
    records = a_study("s")
    outbox.add(records)
    running = make_dispatcher(store, target)
    running.start()
    wait_until(lambda: target.tries)
    assert running.stop(0.2).pending == len(records) == outbox.count_pending()


def test_a_refused_row_does_not_hold_up_the_others(store, a_study):
    """A row that is refused again and again is set aside with its error; the rest of the study arrives."""
    outbox = Outbox(store)
    outbox.add(a_study("s"))
    target = Target(refuses=lambda record: isinstance(record, TrialStarted) and record.number == 1)
    running = make_dispatcher(store, target)
    running.start()
    left = running.stop(20)
    assert (left.pending, left.set_aside) == (0, 1)
    assert "RefusedError: no such thing" in left.last_error
    assert [record.number for record in target.delivered if isinstance(record, TrialFinished)] == [0, 1, 2, 3]


def test_a_passing_failure_keeps_the_order(store, a_study):
    """Nothing overtakes a row that failed and will be tried again."""
    outbox, failures = Outbox(store), [True, True]
    records = a_study("s")
    outbox.add(records)
    target = Target(refuses=lambda record: isinstance(record, TrialFinished) and bool(failures and failures.pop()))
    running = make_dispatcher(store, target)
    running.start()
    assert running.stop(20).set_aside == 0
    assert target.delivered == records


def test_one_bad_epoch_takes_no_others_with_it(store):
    """Of epochs sent together only the refused one is set aside."""
    outbox = Outbox(store)
    outbox.add([EpochsRecorded("s", 0, ((epoch, epoch, {"loss": float(epoch)}),)) for epoch in range(5)])
    target = Target(refuses=lambda record: any(epoch == 3 for epoch, _, _ in record.epochs))
    running = make_dispatcher(store, target)
    running.start()
    left = running.stop(20)
    assert (left.pending, left.set_aside) == (0, 1)
    assert sorted(epoch for record in target.delivered for epoch, _, _ in record.epochs) == [0, 1, 2, 4]


def test_rows_with_refused_parts_are_set_aside_at_once(store):
    """A row whose other parts arrived is tried once alone, and its message is the sink's."""
    outbox = Outbox(store)
    outbox.add([make_finished(number) for number in range(4)])
    target = Target(refuses=lambda record: record.number in (1, 2), error=RefusedPartsError("MLflow refused the p"))
    running = make_dispatcher(store, target)
    running.start()
    left = running.stop(20)
    assert (left.pending, left.set_aside, left.last_error) == (0, 2, "MLflow refused the p")
    assert target.tries <= 1 + 4 + 2, "together, each alone, and once more when delivery is stopped"
    assert not running.is_away


def test_rows_set_aside_are_tried_again_at_the_next_start(store):
    """What was refused, perhaps by a server since mended, gets another chance."""
    outbox = Outbox(store)
    outbox.add([ModelDisplaced("s", 1)])
    first = make_dispatcher(store, Target(refuses=lambda record: True))
    first.start()
    assert first.stop(20).set_aside == 1
    target = Target()
    second = make_dispatcher(store, target)
    second.start()
    assert second.stop(20).set_aside == 0
    assert target.delivered == [ModelDisplaced("s", 1)]


def test_a_later_process_knows_the_study(store, a_study):
    """Rows left behind can be delivered by a process that did not deliver the study's first row."""
    outbox = Outbox(store)
    records = a_study("s")
    outbox.add(records[:2])
    first = make_dispatcher(store, Target())
    first.start()
    first.stop(20)
    outbox.add(records[2:])
    target = Target()
    second = make_dispatcher(store, target)
    second.start()
    second.stop(20)
    assert target.remembered == ["s"]


def test_delivery_ends_where_it_is_no_longer_allowed(store, a_study):
    """A process whose lease was lost while a request was under way acknowledges nothing and sends nothing more."""
    outbox, allowed = Outbox(store), [True]
    records = a_study("s")
    outbox.add(records)

    class Sleeper(Target):
        def deliver(self, records):
            super().deliver(records)
            allowed.clear()  # the process was stopped here, for longer than its lease

    target = Sleeper()
    running = make_dispatcher(store, target, may_deliver=lambda: bool(allowed))
    running.start()
    wait_until(lambda: not running._is_running())
    assert (target.tries, target.delivered) == (1, records[:1])
    assert outbox.read_backlog() == Backlog(len(records), 0, "")
    assert "another process" in running.last_error
    assert running.stop(20).pending == len(records)


def test_an_error_is_not_stored_where_that_is_no_longer_allowed(store, a_study):
    """A process that lost its lease during an outage, or over a row that is refused, leaves the rows as they are."""
    for away in (True, False):
        outbox, allowed = Outbox(store), [True]
        outbox.add(a_study(f"s{away}"))
        target = Target(away=away, refuses=lambda record, allowed=allowed: allowed.clear() is None)
        target.classify_error = lambda error, away=away, allowed=allowed: (
            allowed.clear() or "outage" if away else "refused"
        )
        running = make_dispatcher(store, target, study=f"s{away}", may_deliver=lambda allowed=allowed: bool(allowed))
        running.start()
        wait_until(lambda running=running: not running._is_running())
        assert outbox.read_backlog(f"s{away}") == Backlog(len(a_study("s")), 0, "")


def test_stopping_in_a_hurry(store, a_study):
    """After `hurry`, `stop` waits no longer for a target that is away."""
    Outbox(store).add(a_study("s"))
    running = make_dispatcher(store, Target(away=True))
    running.start()
    running.hurry()
    began = time.monotonic()
    assert running.stop(1000).pending == len(a_study("s"))
    assert time.monotonic() - began < 500


def test_rows_set_aside_get_a_second_chance(store, monkeypatch):
    """What a server refused that was mended since arrives without a restart, at its old place; one try each."""
    monkeypatch.setattr("tracking.outbox.dispatcher._SECOND_CHANCE_S", 0.0)
    outbox, refuses = Outbox(store), [True]
    outbox.add([make_finished(number) for number in range(3)])
    target = Target(refuses=lambda record: record.number == 1 and bool(refuses))
    running = make_dispatcher(store, target)
    running.start()
    wait_until(lambda: outbox.read_backlog().set_aside)
    tries = target.tries
    wait_until(lambda: target.tries > tries + 2)
    assert outbox.read_backlog().rows == 1
    refuses.clear()
    wait_until(lambda: not outbox.read_backlog().rows)
    running.stop(20)
    assert [record.number for record in target.delivered] == [0, 2, 1]


def test_the_end_gives_a_second_chance(store):
    """Rows that were set aside are tried once more when delivery is stopped with time to deliver."""
    outbox, refuses = Outbox(store), [True]
    outbox.add([make_finished(0)])
    target = Target(refuses=lambda record: bool(refuses))
    running = make_dispatcher(store, target)
    running.start()
    wait_until(lambda: outbox.read_backlog().set_aside)
    refuses.clear()
    assert running.stop(20) == Backlog(0, 0, "")


@pytest.mark.long
def test_a_server_at_fault_does_not_hold_up_every_row_for_long(store):
    """Where one row was tried thirty times in vain, the next are set aside after three."""
    outbox = Outbox(store)
    outbox.add([make_finished(number) for number in range(3)])
    target = Target(refuses=lambda record: True)
    target.classify_error = lambda error: "unclear"
    running = OutboxDispatcher(store, lambda check: target, longest_pause_s=0.001)
    running.start()
    wait_until(lambda: outbox.read_backlog().set_aside == 3)
    running.stop(0)
    assert target.tries == 1 + 29 + 2 + 2


def test_only_the_given_study_is_delivered(store, a_study):
    """A supervisor delivers the rows of its study and leaves those of others."""
    outbox, target = Outbox(store), Target()
    outbox.add([*a_study("a"), *a_study("b")])
    running = make_dispatcher(store, target, study="a")
    running.start()
    running.stop(20)
    assert {record.study for record in target.delivered} == {"a"}
    assert outbox.count_pending("a") == 0
    assert outbox.count_pending("b") == len(a_study("b"))


def test_a_connection_that_fails_is_tried_again(store):
    """Delivery begins once a connection can be made, without a restart."""
    target, failures = Target(), [OSError("disk full"), OSError("disk full")]

    def connect(check):
        if failures:
            raise failures.pop()
        return target

    Outbox(store).add([ModelDisplaced("s", 1)])
    running = OutboxDispatcher(store, connect, longest_pause_s=0.1)
    running.start()
    assert running.stop(20).pending == 0
