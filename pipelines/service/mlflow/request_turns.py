"""Turns of requests to MLflow: so many of one account at once, and further ones wait.

MLflow answers with a thread for each request, 40 in all, and a client that reads a large file slowly holds one. A page
sends more requests at once than its account has turns; those that wait take milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from pipelines.service.errors import CeilingError
from tracking.store.accounts import Identity

MOST_EACH: Final = 12
"""Most requests of one account at once; twice the connections that a browser opens by HTTP/1.1."""

_PATIENCE_S: Final = 30.0


class RequestTurns:
    """Turns; used from one event loop.

    Args:
        most_each: most requests of one account at once.
        patience_s: seconds after which a request that waits is refused.
    """

    def __init__(self, most_each: int = MOST_EACH, patience_s: float = _PATIENCE_S) -> None:
        self._most_each = most_each
        self._patience_s = patience_s
        # Of accounts with requests alone: accounts come and go for years.
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, caller: Identity) -> AsyncIterator[None]:
        """Hold a turn within the context.

        Raises:
            CeilingError: if none of the account's gets free in time.
        """
        turns = self._turns.setdefault(caller.id, asyncio.Semaphore(self._most_each))
        try:
            async with asyncio.timeout(self._patience_s):
                await turns.acquire()
        except TimeoutError:
            raise CeilingError(
                f"{caller.name} has {self._most_each} requests to MLflow that last, as many as one account may: end "
                "downloads that stand still"
            ) from None
        try:
            yield
        finally:
            turns.release()
