"""Limit on the clients that follow events and logs: each takes a connection for hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.service.errors import BusyError, CeilingError
from tracking.store.accounts import Identity

_MAX_STREAMS = 200  # of 1,000 connections, so that short requests always find one


class StreamLimit:
    """Count of the open streams, of each account and in all; used from the event loop alone.

    Args:
        most: most streams in all.
        most_each: most streams of one account; admins have as many as there are.

    Attributes:
        are_open: whether open streams may go on; false once the service is stopping.
    """

    def __init__(self, most: int = _MAX_STREAMS, most_each: int = _MAX_STREAMS) -> None:
        self.are_open = True
        self._most = most
        self._most_each = most_each
        self._counts: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many streams are open."""
        return self._counts.total()

    def check_capacity(self, caller: Identity) -> None:
        """Check that one more stream of an account may open.

        Raises:
            CeilingError: if it has too many.
            BusyError: if there are too many in all.
        """
        if self._counts[caller.id] >= self._most_each and not caller.has_scope("admin"):
            raise CeilingError(
                f"{caller.name} follows {self._most_each} streams of events and logs, as many as one account may "
                "(ceilings.followers): close one"
            )
        if self.count >= self._most:
            raise BusyError(f"{self._most} clients follow events and logs already: send the request again in a while")

    @contextmanager
    def acquire(self, caller: Identity) -> Iterator[None]:
        """Count a stream as open within the context.

        Raises:
            BusyError: if too many are open.
        """
        # Again: since the route's check, others may have begun.
        self.check_capacity(caller)
        self._counts[caller.id] += 1
        try:
            yield
        finally:
            self._counts[caller.id] -= 1
            # Accounts come and go for years.
            self._counts += Counter()
