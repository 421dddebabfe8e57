"""Slots of exports and promotions: a few in all, and fewer of one account."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.service.errors import BusyError, CeilingError
from tracking.store.accounts import Identity

MOST = 2
"""Most exports at once: each loads TensorFlow and a model, and studies train on the same machine."""


class ExportSlots:
    """Slots; used from several threads.

    Args:
        most_each: most slots of one account.
    """

    def __init__(self, most_each: int = 1) -> None:
        self._most_each = most_each
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    @contextmanager
    def acquire(self, caller: Identity) -> Iterator[None]:
        """Hold a slot within the context.

        Raises:
            CeilingError: if the account holds as many as it may.
            BusyError: if none is free.
        """
        # Refused, not queued: a waiting request would hold a thread that short requests need.
        with self._lock:
            if self._counts[caller.id] >= self._most_each:
                raise CeilingError(
                    f"{caller.name} runs {self._most_each} export or promotion already, as many as one account may "
                    "(ceilings.exports): send the request again when it has ended"
                )
            if self._counts.total() >= MOST:
                raise BusyError(f"{MOST} exports run already: send the request again in a while")
            self._counts[caller.id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[caller.id] -= 1
