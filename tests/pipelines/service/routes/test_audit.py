"""Audit log: a line for each change by a caller, for admins to read."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from served import detail, study_text, submit

from tracking.store.audit import AuditLog


def read(service, admin, **filters):
    return service.client.get("/v1/audit", params=filters, headers=admin).json()


def test_changes_are_recorded_with_who_what_and_outcome(service, ann, bob, admin):
    """Done, refused and failed ones; reading is not recorded, and only an admin may look."""
    submit(service, ann, study_text("s"), headers={"X-Request-ID": "r-1"})
    service.client.post("/v1/studies/s:pause", headers=bob)
    service.client.post("/v1/tokens", json={"name": "new"}, headers=admin)
    service.client.post("/v1/studies", content=b"study: [", headers=ann)
    service.client.get("/v1/studies", headers=ann)
    lines = read(service, admin)["lines"]
    assert [(each["name"], each["object"], each["outcome"]) for each in reversed(lines)] == [
        ("ann", "s", "done"),
        ("bob", "s", "refused"),
        ("root", "new default", "done"),
        ("ann", "", "failed"),
    ]
    assert lines[-1]["request"] == "r-1"
    assert lines[-1]["identity"] == service.client.get("/v1/me", headers=ann).json()["id"]
    assert [each["operation"] for each in read(service, admin, name="root")["lines"]] == ["token.create"]
    assert len(read(service, admin, outcome="refused")["lines"]) == 1
    first = read(service, admin, limit=3)
    assert [each["id"] for each in read(service, admin, before=first["next"])["lines"]] == [1]
    assert read(service, admin, since_ms=lines[0]["time_ms"] + 1)["lines"] == []
    detail(service.client.get("/v1/audit", headers=ann), 403)


def test_a_line_is_final(service, ann):
    """No statement changes a line; it leaves with its age alone."""
    submit(service, ann, study_text("s"))
    with pytest.raises(sa.exc.IntegrityError, match="final"), service.store.write() as connection:
        connection.execute(sa.text("UPDATE kerastudy_audit SET name = 'bob'"))


def test_unknown_things_are_no_lines(service, admin):
    """Requests that find nothing cannot fill the log."""
    service.client.post("/v1/studies/none:pause", headers=admin)
    service.client.post("/nothing", headers=admin)
    assert read(service, admin)["lines"] == []


def test_lines_leave_with_their_age(service, ann):
    """The operator's key decides; younger ones stay."""
    submit(service, ann, study_text("s"))
    audit = AuditLog(service.store)
    assert audit.prune(60.0) == 0
    assert audit.prune(-1.0) == 1
    assert audit.list() == ()
