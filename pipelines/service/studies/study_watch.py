"""Watch on studies that clients follow: whether anything more can happen in one."""

from __future__ import annotations

import threading
import time

from tracking.store.database import Store
from tracking.store.study_queue import ENDED_STATES, StudyQueue, StudyRecord

_AGE_S = 0.4


class StudyWatch:
    """States of followed studies, each read a few times a second, however many clients follow it."""

    def __init__(self, store: Store) -> None:
        self._queue = StudyQueue(store)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, bool]] = {}

    def is_idle(self, study: str) -> bool:
        """Return whether a study is paused or has ended, and its process has written its last event."""
        # Under the lock: of 200 followers of one study, one reads the store.
        with self._lock:
            at, idle = self._known.get(study, (float("-inf"), False))
            if time.monotonic() - at > _AGE_S:
                record = self._queue.find(study)
                # No record: it was deleted. Not `interrupted`: the service starts such a study again.
                idle = record is None or record.is_at_rest
                self._forget_old()
                self._known[study] = time.monotonic(), idle
            return idle

    def find_end(self, study: str) -> StudyRecord | None:
        """Return the record of a study that has ended; None for any other."""
        record = self._queue.find(study)
        return record if record is not None and record.state in ENDED_STATES else None

    def _forget_old(self) -> None:
        now = time.monotonic()
        self._known = {name: known for name, known in self._known.items() if now - known[0] <= _AGE_S}
