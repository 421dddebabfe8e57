"""Submitted studies and the leases on them."""

import contextlib
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

from search_spaces.errors import InputError
from tracking.store import now_ms, studies
from tracking.study_queue import LeaseLostError, StudyBusyError, StudyQueue, this_process

ELSEWHERE = "other-host/17/12345/1"


@pytest.fixture
def queue(store):
    queue = StudyQueue(store)
    queue.enqueue("digits", "study: digits", "d1", folder="/studies")
    return queue


def expire(store):
    with store.write() as connection:
        connection.execute(sa.update(studies).values(lease_expires_ms=now_ms() - 1))


def test_a_study_is_kept_as_submitted(queue):
    """A submitted study is queued, with its text, digest and folder."""
    record = queue.get("digits")
    assert (record.state, record.document, record.digest, record.folder) == (
        "queued", "study: digits", "d1", "/studies",
    )  # fmt: skip


def test_submitting_again_adds_nothing(queue):
    """The same name and digest is the same study, whatever state it is in."""
    queue.set_state("digits", "finished", "done")
    assert queue.enqueue("digits", "study: digits", "d1").state == "finished"
    assert len(queue.list()) == 1


def test_another_file_under_a_taken_name_is_refused(queue):
    """A name belongs to one study; another digest is an input error that says so."""
    with pytest.raises(InputError, match='study "digits" exists already'):
        queue.enqueue("digits", "study: digits # changed", "d2")
    queue.amend("digits", "study: digits # changed", "d2")
    assert queue.enqueue("digits", "study: digits # changed", "d2").digest == "d2"


def test_an_unknown_study_names_the_nearest(queue):
    """A wrong name is answered with the right one."""
    with pytest.raises(InputError, match='did you mean "digits"'):
        queue.get("digit")
    assert queue.find("digit") is None


def test_a_held_study_names_its_holder(queue):
    """A second supervisor is refused while the first lives, even when its lease is late."""
    queue.claim("digits", this_process(), 30)
    with pytest.raises(StudyBusyError, match=r"worked on by process [0-9]+ on "):
        queue.claim("digits", this_process(), 30)


def test_a_sleeping_holder_is_not_robbed(queue, store):
    """An expired lease of a process that lives on this machine stays its own: it was asleep."""
    queue.claim("digits", this_process(), 30)
    expire(store)
    with pytest.raises(StudyBusyError):
        queue.claim("digits", this_process(), 30)


def test_a_dead_holder_frees_the_study_at_once(queue, store):
    """After kill -9 the study can be taken immediately, without waiting for the lease to expire."""
    code = "from tracking.study_queue import this_process; print(this_process())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    dead = ended.stdout.strip()
    queue.claim("digits", dead, 3600)
    assert queue.claim("digits", this_process(), 30).owner == this_process() != dead


def test_a_holder_elsewhere_keeps_it_until_it_expires(queue, store):
    """What cannot be seen from here is trusted until its lease runs out."""
    queue.claim("digits", ELSEWHERE, 30)
    with pytest.raises(StudyBusyError, match="process 17 on other-host"):
        queue.claim("digits", this_process(), 30)
    expire(store)
    assert queue.claim("digits", this_process(), 30)


def test_a_lost_lease_cannot_be_renewed_or_released(queue, store):
    """A former holder learns that it lost the study, and cannot take it from the new one."""
    lost = queue.claim("digits", ELSEWHERE, 30)
    expire(store)
    held = queue.claim("digits", this_process(), 30)
    with pytest.raises(LeaseLostError):
        queue.renew(lost)
    with store.write() as connection, pytest.raises(LeaseLostError):
        queue.verify(lost, connection)
    queue.release(lost)
    queue.renew(held)
    assert queue.get("digits").owner == this_process()


def test_renewing_extends_and_uses_up_the_lease(queue):
    """A renewal moves the end, and an older copy of the lease no longer renews."""
    first = queue.claim("digits", ELSEWHERE, 30)
    before = queue.get("digits").lease_expires_ms
    second = queue.renew(first)
    assert queue.get("digits").lease_expires_ms >= before
    with pytest.raises(LeaseLostError):
        queue.renew(first)
    queue.release(queue.renew(second))
    assert queue.get("digits").owner is None


def test_one_of_many_gets_it(queue):
    """Of supervisors that claim at the same moment exactly one succeeds."""
    barrier, won = threading.Barrier(6), []

    def claim():
        barrier.wait()
        with contextlib.suppress(StudyBusyError):
            won.append(queue.claim("digits", this_process(), 30))

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_results_and_time_are_kept(queue):
    """Working time adds up; the winner, its value and the counts are stored as given."""
    queue.add_elapsed("digits", 1.5)
    queue.add_elapsed("digits", 2.0)
    queue.set_result("digits", winner=3, best_value=0.9, counts={"complete": 4})
    record = queue.get("digits")
    assert (record.elapsed_s, record.winner, record.best_value, record.counts) == (3.5, 3, 0.9, {"complete": 4})
