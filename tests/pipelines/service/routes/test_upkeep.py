"""Routes for operators: health and readiness without a token, metrics with one."""

from __future__ import annotations

import pytest
from served import detail, study_text
from sqlalchemy.exc import OperationalError

from pipelines.service.monitoring import readiness
from tracking.store.study_queue import StudyQueue
from tracking.store.supervisors import Supervisors


def test_health_needs_no_token_and_metrics_do(service, reader):
    """Health is the process's alone: a monitor that restarts it would not bring back a database."""
    assert service.client.get("/healthz").json()["status"] == "ok"
    detail(service.client.get("/metrics"), 401)
    assert "kerastudy_studies" in service.client.get("/metrics", headers=reader).text


def test_a_service_is_ready_when_every_check_passes(service):
    """Without a token, so that a proxy or an orchestrator can read it."""
    service.monitors.upkeep.record_round()
    answer = service.client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "checks": dict.fromkeys(("store", "disk", "upkeep", "supervisors"), "ok"),
        "hosts": {},
    }


def test_hosts_are_shown(service, reader):
    """Readiness counts the processes that run studies, without names; their list and metrics have the hosts."""
    service.monitors.upkeep.record_round()
    table, queue = Supervisors(service.store), StudyQueue(service.store)
    for host in ("b", "c"):
        table.register(f"{host}/1/2/3", "1.0", 4)
    queue.enqueue("s", study_text("s"), "d")
    queue.claim("s", "c/9/9/9", 60.0)
    queue.set_state("s", "running")
    assert service.client.get("/readyz").json()["hosts"] == {"ready": 2}
    found = service.client.get("/v1/hosts", headers=reader).json()
    assert [(each["host"], each["state"], each["studies"], each["running"]) for each in found] == [
        ("b", "ready", 4, []),
        ("c", "ready", 4, ["s"]),
    ]
    metrics = service.client.get("/metrics", headers=reader).text
    assert 'kerastudy_supervising_processes{host="b",state="ready"} 1.0' in metrics
    assert 'kerastudy_host_studies{host="c"} 1.0' in metrics


@pytest.mark.parametrize(
    ("break_it", "check", "reason"),
    [
        (lambda service, patch: patch.setattr(readiness, "_UPKEEP_S", -1.0), "upkeep", "no study has been started"),
        (lambda service, patch: patch.setattr(readiness, "_LEAST_FREE_BYTES", 1 << 60), "disk", "MB are free"),
        (lambda service, patch: patch.setattr(service.store, "read", _fail), "store", "does not answer"),
        (lambda service, patch: patch.setattr(readiness.os, "access", lambda *_: False), "supervisors", "written"),
    ],
)
def test_a_service_that_is_not_ready_states_why(service, monkeypatch, break_it, check, reason):
    """With 503, the check that fails, and no path of the machine."""
    service.monitors.upkeep.record_round()
    break_it(service, monkeypatch)
    answer = service.client.get("/readyz")
    assert answer.status_code == 503
    body = answer.json()
    assert body["status"] == "not ready"
    assert reason in body["checks"].pop(check)
    assert set(body["checks"].values()) == {"ok"}
    assert str(service.home.folder) not in answer.text
    assert service.client.get("/healthz").status_code == 200


def _fail(*_):
    raise OperationalError("SELECT 1", {}, Exception("gone"))
