"""Turns of waiting studies that several hosts take from one queue."""

import threading

import pytest

from tracking.store.accounts import Identity
from tracking.store.processes import identify_process
from tracking.store.study_queue import StudyQueue
from tracking.store.submissions import Submissions
from tracking.store.turns import Turns

ANN = Identity("a1", "ann", "submit")


@pytest.fixture
def queue(store):
    queue = StudyQueue(store)
    for name in ("first", "second"):
        queue.enqueue(name, f"study: {name}", name)
        with store.write() as connection:
            Submissions(store).put(name, ANN, 0, connection)
    return queue


def test_a_turn_leases_the_study_and_records_its_start(store, queue):
    """Lease, start and trials at once are one transaction; the lease is over later, by the database's clock."""
    turns = Turns(store)
    lease = turns.take(turns.read(), queue.get("first"), identify_process(), 60.0, 4)
    assert queue.is_held(lease)
    submission = Submissions(store).find("first")
    assert submission.started_ms is not None
    assert submission.trials_at_once == 4
    assert not queue.get("first").lease_is_over


def test_who_has_read_an_older_queue_takes_nothing(store, queue):
    """After a turn of another host the queue is read again, whichever study was chosen."""
    turns = Turns(store)
    before = turns.read()
    assert turns.take(before, queue.get("first"), identify_process(), 60.0, None)
    assert turns.take(before, queue.get("second"), identify_process(), 60.0, None) is None
    assert Submissions(store).find("second").started_ms is None
    assert turns.take(turns.read(), queue.get("second"), identify_process(), 60.0, None)


@pytest.mark.parametrize("change", ["held", "paused"])
def test_a_study_that_has_changed_is_left_alone(store, queue, change):
    """A person's request, or a `kerastudy run`, may come between reading the queue and taking a study."""
    turns = Turns(store)
    number, record = turns.read(), queue.get("first")
    if change == "held":
        queue.claim("first", identify_process(), 60.0)
    else:
        queue.set_state("first", "paused")
    assert turns.take(number, record, identify_process(), 60.0, None) is None


def test_of_many_hosts_each_takes_another_study(store, queue):
    """However many choose at once, no study is taken twice and none is left."""
    for number in range(20):
        queue.enqueue(f"s{number}", "study: s", f"s{number}")
    barrier, taken = threading.Barrier(4), []

    def work():
        turns = Turns(store)
        barrier.wait()
        while True:
            number = turns.read()
            free = [each for each in queue.list() if each.owner is None]
            if not free:
                return
            if lease := turns.take(number, free[0], identify_process(), 60.0, None):
                taken.append(lease.study)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(each.name for each in queue.list())


def test_a_lease_that_is_passed_on_keeps_its_request(store, queue):
    """A request that came while the host started a process is the process's; others cannot continue the lease."""
    turns = Turns(store)
    lease = turns.take(turns.read(), queue.get("first"), identify_process(), 60.0, None)
    queue.set_control_request("first", "pause")
    continued = queue.claim("first", "other/1/2/3", 60.0, after=lease.token)
    assert queue.find_control_request("first") == "pause"
    assert not queue.is_held(lease)
    assert queue.is_held(continued)
