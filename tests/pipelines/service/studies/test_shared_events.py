"""Events of followed studies are read once for all clients at one place."""

from __future__ import annotations

import json

from pipelines.service.studies import shared_events
from pipelines.service.studies.shared_events import SharedEvents
from pipelines.supervisor.event_log import read_events_after, record_events
from pipelines.supervisor.events import TrialEnded
from pipelines.workspace.home import Home

ENDED = TrialEnded(0, "complete", 0.5, "", 1.0, is_best=True)


def test_many_at_one_place_cost_one_read(tmp_path, monkeypatch):
    """And each place its own; what is new is there after a moment."""
    home = Home.find(str(tmp_path), {})
    list(record_events(home, "s", [ENDED, ENDED]))
    reads = []
    monkeypatch.setattr(
        shared_events, "read_events_after", lambda *args: reads.append(args) or read_events_after(*args)
    )
    shared = SharedEvents(home)
    first = [shared.read_after("s", 0) for _ in range(200)]
    assert len(reads) == 1
    assert [(event.kind, json.loads(event.text)["value"]) for event in first[-1]] == [("trial-ended", 0.5)] * 2
    assert [event.id for event in shared.read_after("s", first[0][0].id)] == [first[0][1].id]
    monkeypatch.setattr(shared_events, "_AGE_S", -1.0)
    list(record_events(home, "s", [ENDED]))
    assert len(shared.read_after("s", 0)) == 3
    assert len(shared._known) == 1
