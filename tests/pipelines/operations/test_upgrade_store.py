"""Upgrade of a store before a new version starts on several hosts."""

from __future__ import annotations

from old_homes import write_old_home

from pipelines.operations.upgrade_store import upgrade_store
from pipelines.workspace.home import Home
from tracking.store.schema import OLDEST_VERSION
from tracking.store.tables import SCHEMA_VERSION


def test_a_store_is_created_upgraded_or_left(tmp_path):
    """The result has the versions before and after; a second call changes nothing."""
    write_old_home(tmp_path / "old", OLDEST_VERSION)
    for name, before in (("old", OLDEST_VERSION), ("old", SCHEMA_VERSION), ("new", None), ("new", SCHEMA_VERSION)):
        done = upgrade_store(Home(tmp_path / name, str(tmp_path / name)), 0.0)
        assert (done.before, done.after) == (before, SCHEMA_VERSION)
