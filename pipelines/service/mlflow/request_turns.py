"""Turns of requests to MLflow: so many at once, of one account and of all, and further ones wait.

MLflow answers with a thread for each request, 40 in all, and a client that reads a large file slowly holds one. A page
sends more requests at once than its account has turns; those that wait take milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pipelines.service.errors import BusyError, CeilingError
from tracking.store.accounts import Identity

MOST_EACH: Final = 12
"""Most requests of one account at once; twice the connections that a browser opens by HTTP/1.1."""

MOST: Final = 32
"""Most requests of all accounts at once: the service itself has room for eight more, for `/readyz`, notes and links."""

_PATIENCE_S: Final = 30.0


class RequestTurns:
    """Turns; used from one event loop.

    An account takes a further turn only while it holds fewer than are free. So accounts that together take what they
    can leave some to each one that comes, as dynamic thresholds of shared buffers do (Choudhury and Hahne, 1998).

    Args:
        most_each: most requests of one account at once.
        most: most requests of all at once.
        patience_s: seconds after which a request that waits is refused.
    """

    def __init__(self, most_each: int = MOST_EACH, most: int = MOST, patience_s: float = _PATIENCE_S) -> None:
        self._most_each = most_each
        self._most = most
        self._patience_s = patience_s
        self._held: Counter[str] = Counter()
        # Of accounts with requests that wait alone: accounts come and go for years.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def take(self, caller: Identity) -> AsyncIterator[None]:
        """Hold a turn within the context.

        Raises:
            CeilingError: if none gets free in time, and the account holds as many as one may.
            BusyError: if none gets free in time because of others.
        """
        if caller.id in self._waiting or not self._may_take(caller.id):
            await self._wait(caller)
        else:
            self._held[caller.id] += 1
        try:
            yield
        finally:
            self._release(caller.id)

    def _may_take(self, account: str) -> bool:
        return self._held[account] < min(self._most_each, self._most - self._held.total())

    async def _wait(self, caller: Identity) -> None:
        """Wait until this request was given a turn."""
        given = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller.id, deque()).append(given)
        try:
            async with asyncio.timeout(self._patience_s):
                await given
        except BaseException as error:
            if given.done() and not given.cancelled():  # in the moment in which this one was given up
                self._release(caller.id)
            else:
                self._forget(caller.id, given)
            if isinstance(error, TimeoutError):
                raise self._make_error(caller) from None
            raise

    def _release(self, account: str) -> None:
        self._held[account] -= 1
        self._held += Counter()  # keeps what is above 0
        # Those with the fewest first. Whoever may take none now can take none after another one has.
        for waiting in sorted(self._waiting, key=self._held.__getitem__):
            while self._may_take(waiting) and (turns := self._waiting.get(waiting)):
                given = turns[0]
                self._forget(waiting, given)
                if not given.done():
                    self._held[waiting] += 1
                    given.set_result(None)

    def _forget(self, account: str, given: asyncio.Future[None]) -> None:
        turns = self._waiting[account]
        turns.remove(given)
        if not turns:
            del self._waiting[account]

    def _make_error(self, caller: Identity) -> BusyError:
        held = self._held[caller.id]
        if held < self._most_each:
            return BusyError("MLflow answers as many requests as it can at once: send the request again in a while")
        return CeilingError(
            f"{caller.name} has {held} requests to MLflow that last, as many as one account may: end downloads that "
            "stand still"
        )
