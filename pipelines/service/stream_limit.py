"""How many follow events and logs at once, and whether they still may: each takes a connection for hours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.service.errors import TooMuchError

_MOST = 200


class StreamLimit:
    """Counts those who follow something; used from the event loop alone.

    Attributes:
        are_open: whether those who follow may go on; false once the service is about to end.
    """

    def __init__(self, most: int = _MOST) -> None:
        self.are_open = True
        self._most = most
        self._count = 0

    def check_capacity(self) -> None:
        """Refuse one who would be too many, before anything was answered.

        Raises:
            TooMuchError: if so many follow already.
        """
        if self._count >= self._most:
            raise TooMuchError(f"{self._most} clients follow events and logs already: ask again in a while")

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Count one for as long as the context lasts.

        Raises:
            TooMuchError: if so many follow already.
        """
        self.check_capacity()
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
