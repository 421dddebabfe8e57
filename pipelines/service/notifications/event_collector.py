"""Collector of the events of a service's studies: it stores the notifications among them, and passes all on.

It reads studies that go on, and for some minutes those that have ended, since their last event is written late. A
restart reads all of them once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.service.config import NotificationKind
from pipelines.supervisor.event_log import StoredEvent, read_events_after
from pipelines.workspace.home import Home
from tracking.store.database import Store
from tracking.store.notifications import EventPosition, Notifications

_LATE_S = 600.0  # more than the delivery to MLflow takes, after which a study's last event is written
_STORE_EVERY_BYTES = 1 << 20
_OF_STATE: Mapping[str, NotificationKind] = {"finished": "finished", "failed": "failed"}

Observer = Callable[[StoredEvent], None]


class EventCollector:
    """Collector of events; used by one thread alone.

    Args:
        observe: called with each event that happens from the start on.
    """

    def __init__(self, home: Home, store: Store, observe: Observer = lambda event: None) -> None:
        self._home = home
        self._notifications = Notifications(store)
        self._observe = observe
        # By name and submission: a deleted study's name may come again.
        self._positions: dict[tuple[str, int], int] = {}
        self._until: dict[str, float] = {}

    def catch_up(self) -> None:
        """Read what earlier services left, for the receivers that they had."""
        stored = self._notifications.has_receivers()
        for position in self._notifications.list_positions():
            while self._read_chunk(position, stored, lambda event: None):
                pass

    def collect(self, *, has_receivers: bool) -> bool:
        """Read the new events; return whether notifications are among them."""
        found = False
        now = time.monotonic()
        for position in self._notifications.list_positions(ended=tuple(self._until)):
            before = self._locate(position)
            while self._read_chunk(position, has_receivers, self._observe):
                found = True
            if not position.is_over or self._locate(position) > before:
                self._until[position.study] = now + _LATE_S
        self._forget(now)
        return found

    def _locate(self, position: EventPosition) -> int:
        return self._positions.get((position.study, position.submitted_ms), position.read_bytes)

    def _read_chunk(self, position: EventPosition, stored: bool, observe: Observer) -> bool:
        """Read up to a megabyte of events; return whether there were any."""
        began = self._locate(position)
        events = read_events_after(self._home, position.study, began)
        if not events:
            return False
        found = []
        for event in events:
            observe(event)
            if stored and (kind := _find_kind(event, position.submitted_ms)) is not None:
                found.append((kind, _describe(event, kind, position)))
        end = events[-1].id
        # Rarely without notifications: a running study would otherwise cost a commit a second.
        if found or end - position.read_bytes > _STORE_EVERY_BYTES:
            self._notifications.add(position.study, found, end)
        self._positions[position.study, position.submitted_ms] = end
        return True

    def _forget(self, now: float) -> None:
        """Forget studies that ended long ago."""
        over = {study for study, until in self._until.items() if until < now}
        for study in over:
            del self._until[study]
        for key in [key for key in self._positions if key[0] not in self._until]:
            # Stored now, so that the next start reads nothing of it.
            self._notifications.add(key[0], (), self._positions.pop(key))


def _find_kind(event: StoredEvent, submitted_ms: int) -> NotificationKind | None:
    """Return the kind of an event's notification; None for an event without one."""
    # A study of `kerastudy run` may be submitted later, with all of its past.
    if event.content.get("at", 0) < submitted_ms:
        return None
    if event.kind == "study-ended":
        return _OF_STATE.get(event.content.get("state", ""))
    return "new_best" if event.kind == "trial-ended" and event.content.get("is_best") else None


def _describe(event: StoredEvent, kind: NotificationKind, position: EventPosition) -> Mapping[str, Any]:
    return {**event.content, "kind": kind, "study": position.study, "submitter": position.submitter}
