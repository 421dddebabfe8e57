"""Routes that control a study, with and without a process that works on it."""

from __future__ import annotations

import threading

from served import detail, study_text, submit

from tracking.store.processes import identify_process
from tracking.store.study_queue import StudyQueue


def test_a_waiting_study_is_paused_resumed_and_cancelled(service, ann, admin):
    """No process works on it, so it happens at once."""
    submit(service, ann, study_text())
    said = [service.client.post(f"/v1/studies/s:{verb}", headers=ann).json() for verb in ("pause", "resume", "cancel")]
    assert [each["state"] for each in said] == ["paused", "queued", "cancelled"]
    for verb in ("pause", "resume", "cancel"):
        detail(service.client.post(f"/v1/studies/s:{verb}", headers=admin), 409)
    detail(submit(service, ann, study_text()), 409)


def test_the_process_of_a_study_gets_the_request(service, ann):
    """The answer comes when it was done."""
    submit(service, ann, study_text())
    queue = StudyQueue(service.store)
    lease = queue.claim("s", identify_process(), 60)
    queue.set_state("s", "running")

    def supervise():
        while queue.find_control_request("s") is None:
            pass
        queue.set_state("s", "paused", "as requested")
        queue.release(lease)

    working = threading.Thread(target=supervise)
    working.start()
    assert service.client.post("/v1/studies/s:pause", headers=ann).json()["state"] == "paused"
    working.join()
