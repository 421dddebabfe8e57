"""The engine of a study: what a cluster's workers are started with."""

from __future__ import annotations

from pipelines.data.reading.source_paths import CONFINED
from pipelines.operations.engine_choice import _make_cluster_settings


def test_a_services_rules_hold_on_the_nodes(home, study, monkeypatch):
    """A node was not started by the service, and its workers must know that they work for one; others must not."""
    monkeypatch.delenv(CONFINED, raising=False)
    assert _make_cluster_settings(study, home).node.variables == ()
    monkeypatch.setenv(CONFINED, "1")
    assert _make_cluster_settings(study, home).node.variables == ((CONFINED, "1"),)
