"""Versions of studies: an ETag that changes with what a person decides by, and conditions on it.

It changes with a study's state, its open request, its archive and its file, and not with each trial: a condition must
not fail because a trial has ended. Nothing is cached by it; answers are not stored anyway.

Changes of one study through this service take turns, so that a condition still holds when its change is made: two
people with the same ETag do not both succeed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from pipelines.service.errors import BusyError, ChangedError
from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue

_PATIENCE_S = 60.0  # a deletion takes seconds, most of them in MLflow


class StudyVersions:
    """Versions of the studies of one store."""

    def __init__(self, store: Store) -> None:
        self._queue = StudyQueue(store)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def find_tag(self, name: str) -> str | None:
        """Return the ETag of a study, with its quotation marks; None if there is no such study."""
        record = self._queue.find(name)
        if record is None:
            return None
        parts = (record.created_ms, record.state, record.control_request, record.document, record.winner)
        archived = () if record.archived_ms is None else (record.archived_ms,)
        return f'"{hashlib.sha256(repr((*parts, *archived)).encode()).hexdigest()[:20]}"'

    @asynccontextmanager
    async def take_turn(self, name: str) -> AsyncIterator[None]:
        """Let no other request change a study within the context; one that waits holds no thread.

        Raises:
            BusyError: if another one takes longer than a minute.
        """
        turn = self._turns.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await turn.acquire()
        except TimeoutError:
            raise BusyError(f"another request changes {name}: send this one again in a while") from None
        try:
            yield
        finally:
            turn.release()

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
