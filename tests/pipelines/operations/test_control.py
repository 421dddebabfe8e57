"""Control of a study that no process works on; tests/pipelines/supervisor/test_study_control.py has the rest."""

from __future__ import annotations

import pytest

from pipelines.operations import control
from pipelines.operations.control import StudyStatus, control_study, load_resumable, request_control
from search_spaces.errors import ConflictError, KerastudyError, UnknownError
from tracking.store.processes import identify_process
from tracking.store.study_queue import StudyQueue


def test_an_idle_study_is_paused_at_once(home, store):
    """A second pause keeps the reason, and changes the time of the state alone."""
    assert request_control(home, "s", "pause").state == "paused"
    StudyQueue(store).set_state("s", "paused", "the disk is full")
    assert request_control(home, "s", "pause").reason == "the disk is full"


def test_there_is_nothing_to_stop_without_a_process(home):
    """The message has the commands that help."""
    with pytest.raises(ConflictError, match=r"nobody works on s: kerastudy resume s .* kerastudy cancel s"):
        request_control(home, "s", "stop")


def test_a_study_that_has_begun_is_cancelled_by_a_supervisor(home):
    """It may have trials and MLflow runs."""
    assert request_control(home, "s", "cancel") is None


def test_a_study_that_waits_unchecked_is_cancelled_at_once(home, study, store):
    """It has neither trials nor runs."""
    queue = StudyQueue(store)
    queue.amend("s", queue.get("s").document, study.compute_fingerprint().format())
    assert request_control(home, "s", "cancel").state == "cancelled"


@pytest.mark.parametrize("fault", [None, KerastudyError("no data"), OSError("a full disk")])
def test_a_killed_study_is_paused_by_a_supervisor(home, store, monkeypatch, fault):
    """Its trials and its run in MLflow are as the kill left them; where that is not possible it is paused at once."""
    queue = StudyQueue(store)
    queue.set_state("s", "running")
    halted = []

    def halt(home, name, control_request):
        halted.append((name, control_request))
        if fault is not None:
            raise fault
        return StudyStatus(name, "paused", "by a supervisor")

    monkeypatch.setattr(control, "_halt", halt)
    reason = control_study(home, "s", "pause").reason
    assert (halted, reason) == ([("s", "pause")], "resume it to go on" if fault else "by a supervisor")
    assert control_study(home, "s", "pause").state == "paused"


@pytest.mark.parametrize("request_", ["pause", "stop", "cancel"])
def test_a_study_that_has_ended_takes_no_request(home, store, request_):
    """Its state is in the message."""
    StudyQueue(store).set_state("s", "finished")
    with pytest.raises(ConflictError, match=f"s is finished: there is nothing to {request_}"):
        request_control(home, "s", request_)


@pytest.mark.parametrize("end", ["paused", "killed"])
def test_a_request_to_a_process_that_leaves_the_study_is_carried_out(home, store, monkeypatch, end):
    """It paused the study, or died, before it read the request: nobody is waited for."""
    queue = StudyQueue(store)
    lease = queue.claim("s", identify_process() if end == "paused" else "elsewhere/1/1/1", 60)

    def leave(seconds):
        if end == "paused":
            queue.set_state("s", "paused", "resume it to go on")
            queue.release(lease)
        else:
            monkeypatch.setattr("tracking.store.study_queue.is_alive", lambda owner: False)

    queue.set_state("s", "running")
    monkeypatch.setattr(control.time, "sleep", leave)
    assert request_control(home, "s", "cancel") is None


def test_what_cannot_be_resumed(home, store):
    """A study that a process works on, that was cancelled, or that does not exist."""
    queue = StudyQueue(store)
    assert load_resumable(home, "s").name == "s"
    lease = queue.claim("s", identify_process(), 60)
    with pytest.raises(ConflictError, match=r"s is not paused: process \d+ on .* works on it"):
        load_resumable(home, "s")
    queue.release(lease)
    queue.set_state("s", "cancelled")
    with pytest.raises(ConflictError, match="cancelled, which is final"):
        load_resumable(home, "s")
    with pytest.raises(UnknownError, match='no study "t"'):
        load_resumable(home, "t")
