"""Housekeeping: what the rules of retention removed is in the audit log, whose old lines leave."""

from __future__ import annotations

from pathlib import Path

from pipelines.operations.gc import GcResult
from pipelines.queries.garbage import Garbage
from pipelines.service import housekeeping
from pipelines.service.housekeeping import Housekeeper
from pipelines.spec.home_rules import RetentionSpec
from pipelines.workspace.home import Home
from tracking.store.audit import AuditLog
from tracking.store.database import Store


def test_removals_are_lines_of_the_audit_log(tmp_path, monkeypatch):
    """Each with its reason, by no account; lines past `audit_age` leave on the same day."""
    home = Home.find(str(tmp_path), {})
    removed = Garbage("study", "old", 10, "ended 40 days ago", (Path("x"),))
    monkeypatch.setattr(housekeeping, "collect_garbage", lambda *_: GcResult((removed,), (), (), False))
    with Store.open(home.store) as store:
        audit = AuditLog(store)
        audit.record("submit", "old", None)
        Housekeeper(home, store, RetentionSpec(), audit_s=-1.0).step()
        (line,) = audit.list()
    assert (line.operation, line.object, line.name, line.identity) == ("retention", "old", "retention", "")
    assert line.details == "study: ended 40 days ago"
