"""Submitted studies and the leases on them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from search_spaces.errors import InputError
from tracking.store.processes import identify_process
from tracking.store.study_queue import LeaseLostError, StudyBusyError, StudyQueue

ELSEWHERE = "other-host/17/12345/1"


@pytest.fixture
def queue(store):
    queue = StudyQueue(store)
    queue.enqueue("digits", "study: digits", "d1", folder="/studies")
    return queue


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
    """A name belongs to one study; another digest is an input error."""
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
    queue.claim("digits", identify_process(), 30)
    with pytest.raises(StudyBusyError, match=r"worked on by process [0-9]+ on "):
        queue.claim("digits", identify_process(), 30)


def test_a_stopped_holder_loses_it_after_a_while(queue):
    """A supervisor stopped by SIGSTOP renews nothing: after a whole lease another one may take the study."""
    code = "import time; from tracking.store.processes import identify_process\n"
    code += "print(identify_process(), flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        try:
            lost = queue.claim("digits", holder.stdout.readline().strip(), 30)
            with pytest.raises(StudyBusyError):
                queue.claim("digits", identify_process(), 0.3)
            holder.send_signal(signal.SIGSTOP)
            os.waitpid(holder.pid, os.WUNTRACED)  # a signal takes its time
            assert queue.find_unseen_holder("digits").startswith(f"process {holder.pid}")
            assert queue.claim("digits", identify_process(), 0.3)
        finally:
            holder.kill()
    with pytest.raises(LeaseLostError):
        queue.renew(lost)


def test_a_dead_holder_frees_the_study_at_once(queue, store):
    """After kill -9 the study can be taken immediately, without waiting for the lease to expire."""
    code = "from tracking.store.processes import identify_process; print(identify_process())"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    dead = ended.stdout.strip()
    queue.claim("digits", dead, 3600)
    assert queue.claim("digits", identify_process(), 30).owner == identify_process() != dead


def test_a_holder_elsewhere_keeps_it_for_as_long_as_it_renews(queue):
    """What cannot be seen from here is watched: a renewal shows that it lives, none in a whole lease that it is not."""
    lease = queue.claim("digits", ELSEWHERE, 30)
    assert queue.find_unseen_holder("digits") == "process 17 on other-host"
    renewing = threading.Timer(0.2, queue.renew, (lease,))
    renewing.start()
    with pytest.raises(StudyBusyError, match="process 17 on other-host"):
        queue.claim("digits", identify_process(), 20)
    assert queue.claim("digits", identify_process(), 0.3)


def test_no_clock_decides_who_holds_a_study(queue, monkeypatch):
    """Whatever the wall clock shows meanwhile, a holder that renews keeps the study and one that does not loses it."""
    lease = queue.claim("digits", ELSEWHERE, 30)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    monkeypatch.setattr(time, "time_ns", lambda: 4 * 10**18)
    threading.Timer(0.1, queue.renew, (lease,)).start()
    with pytest.raises(StudyBusyError):
        queue.claim("digits", identify_process(), 20)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert queue.claim("digits", identify_process(), 0.3)


def test_a_control_request_reaches_the_holder_alone(queue):
    """A control request to one supervisor does not reach the next."""
    lease = queue.claim("digits", identify_process(), 30)
    queue.set_control_request("digits", "pause")
    assert queue.find_control_request("digits") == queue.get("digits").control_request == "pause"
    queue.release(lease)
    queue.claim("digits", identify_process(), 30)
    assert queue.find_control_request("digits") is None


def test_a_lost_lease_cannot_be_renewed_or_released(queue, store):
    """A former holder learns that it lost the study, and cannot take it from the new one."""
    lost = queue.claim("digits", ELSEWHERE, 30)
    held = queue.claim("digits", identify_process(), 0.2)
    with pytest.raises(LeaseLostError):
        queue.renew(lost)
    with store.write() as connection, pytest.raises(LeaseLostError):
        queue.verify(lost, connection)
    queue.release(lost)
    queue.renew(held)
    assert queue.get("digits").owner == identify_process()


def test_renewing_uses_up_the_lease(queue):
    """An older copy of a renewed lease no longer renews."""
    first = queue.claim("digits", ELSEWHERE, 30)
    second = queue.renew(first)
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
            won.append(queue.claim("digits", identify_process(), 30))

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
