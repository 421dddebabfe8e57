"""Limit on the clients that follow events and logs: each takes a connection for hours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.service.errors import TooMuchError

_MAX_STREAMS = 200  # of 1,000 connections, so that short requests always find one


class StreamLimit:
    """Count of the open streams; used from the event loop alone.

    Attributes:
        are_open: whether open streams may go on; false once the service is stopping.
    """

    def __init__(self, most: int = _MAX_STREAMS) -> None:
        self.are_open = True
        self._most = most
        self._count = 0

    @property
    def count(self) -> int:
        """How many streams are open."""
        return self._count

    def check_capacity(self) -> None:
        """Check that one more stream may open.

        Raises:
            TooMuchError: if too many are open.
        """
        if self._count >= self._most:
            raise TooMuchError(
                f"{self._most} clients follow events and logs already: send the request again in a while"
            )

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Count a stream as open within the context.

        Raises:
            TooMuchError: if too many are open.
        """
        # Again: since the route's check, others may have begun.
        self.check_capacity()
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
