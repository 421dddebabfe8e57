"""Routes that control a study, with and without a process that works on it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

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


def _at_once(service, who, requests):
    """Return the statuses of requests that are sent together."""
    together = threading.Barrier(len(requests))

    def send(request):
        together.wait()
        method, path, headers = request
        return service.client.request(method, path, headers={**who, **headers}).status_code

    with ThreadPoolExecutor(len(requests)) as threads:
        return sorted(threads.map(send, requests))


def test_of_two_with_one_etag_one_wins(service, ann):
    """The others are told that the study has changed, whatever they were to do."""
    submit(service, ann, study_text())
    condition = {"If-Match": service.client.get("/v1/studies/s", headers=ann).headers["etag"]}
    verbs = ["pause", "cancel", "stop", "pause", "cancel"]
    found = _at_once(service, ann, [("POST", f"/v1/studies/s:{verb}", condition) for verb in verbs])
    assert [status for status in found if status != 412] in ([200], [200, 409])
    assert found.count(412) >= 3


def test_same_requests_at_once_follow_one_another(service, ann):
    """One deletes, and the others find nothing; the same for cancelling. None fails."""
    submit(service, ann, study_text())
    assert _at_once(service, ann, [("POST", "/v1/studies/s:cancel", {})] * 4) == [200, 409, 409, 409]
    assert _at_once(service, ann, [("DELETE", "/v1/studies/s", {})] * 4) == [200, 404, 404, 404]


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
