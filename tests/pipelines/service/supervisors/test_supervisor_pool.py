"""The processes of a service's studies: one that cannot begin keeps no other from it."""

from __future__ import annotations

from served import study_text

from pipelines.service.supervisors import supervisor_pool
from tracking.store.study_queue import StudyQueue


def submit(service, name):
    header = service.token(f"token-{name}")
    assert service.client.post("/v1/studies", content=study_text(name), headers=header).status_code == 202


def test_a_study_that_cannot_begin_keeps_no_other_waiting(service, monkeypatch):
    """A folder that cannot be made costs that study its tries, and is its reason in the end; others have their turn."""
    monkeypatch.setattr(supervisor_pool, "_LONGEST_PAUSE_S", 0.0)
    submit(service, "stuck")
    service.home.locate_study("stuck").parent.mkdir(parents=True)
    service.home.locate_study("stuck").write_text("no folder")
    submit(service, "next")
    try:
        service.supervisors.step()
        assert service.supervisors.running == ("next",)
        stuck = StudyQueue(service.store).get("stuck")
        assert stuck.state == "paused"
        assert "could not begin" in stuck.reason
        assert "stuck" in stuck.reason
    finally:
        service.supervisors.stop()
