"""Versions of studies: an ETag that changes with what a person decides by, and conditions on it.

It changes with a study's state, its open request and its file, and not with each trial: a condition must not fail
because a trial has ended. Nothing is cached by it; answers are not stored anyway.
"""

from __future__ import annotations

import hashlib

from pipelines.service.errors import ChangedError
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue


class StudyVersions:
    """Versions of the studies of one store."""

    def __init__(self, store: Store) -> None:
        self._queue = StudyQueue(store)

    def find_tag(self, name: str) -> str | None:
        """Return the ETag of a study, with its quotation marks; None if there is no such study."""
        record = self._queue.find(name)
        if record is None:
            return None
        parts = (record.created_ms, record.state, record.control_request, record.document, record.winner)
        return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:20]}"'

    def check(self, name: str, condition: str | None) -> None:
        """Check that a study is as it was when its ETag was read.

        Args:
            name: the study.
            condition: value of `If-Match`; None for no condition.

        Raises:
            ChangedError: if it has changed since.
        """
        tag = self.find_tag(name)
        # An unknown study is an error of the route.
        if condition is None or tag is None:
            return
        wanted = [each.strip() for each in condition.split(",")]
        if tag not in wanted and "*" not in wanted:
            raise ChangedError(f"{name} has changed since it was read (its ETag is {tag} now): read it again")
