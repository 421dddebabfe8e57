"""Events of followed studies, read and prepared once for all clients that have reached the same place."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass

from pipelines.supervisor.event_log import read_events_after
from pipelines.workspace.home import Home

_AGE_S = 0.4  # less than the pause of a follower, so that each round sees what is new
_MOST_CHUNKS = 64  # of up to a megabyte


@dataclass(frozen=True)
class EncodedEvent:
    """One event, with its content as JSON; see `StoredEvent`."""

    id: int
    kind: str
    text: str


class SharedEvents:
    """Reader of events for many followers.

    Two hundred followers of one study are at one place of its events, and would otherwise each read and parse them.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], tuple[float, tuple[EncodedEvent, ...]]] = {}

    def read_after(self, study: str, position: int) -> tuple[EncodedEvent, ...]:
        """Return the next events after a position; at most a moment old."""
        # Under the lock: of many at one place, one reads.
        with self._lock:
            now = time.monotonic()
            at, events = self._known.get((study, position), (float("-inf"), ()))
            if now - at <= _AGE_S:
                return events
            events = tuple(
                EncodedEvent(event.id, event.kind, json.dumps(event.content, separators=(",", ":")))
                for event in read_events_after(self._home, study, position)
            )
            fresh = {key: known for key, known in self._known.items() if now - known[0] <= _AGE_S}
            self._known = fresh if len(fresh) < _MOST_CHUNKS else {}
            self._known[study, position] = now, events
            return events
