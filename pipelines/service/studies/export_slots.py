"""Slots of work with models, such as exports: a few in all, and fewer of one account."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.service.errors import BusyError, CeilingError
from tracking.store.accounts import Identity

MOST = 2
"""Most of them at once: each loads TensorFlow and a model, and studies train on the same machine."""

SENDING = 8  # chosen: each may fill the temporary folder with a file of the size that `uploads` allows


class ExportSlots:
    """Slots; used from several threads.

    Args:
        most_each: most slots of one account.
        most: most slots of all.
        work: name of what holds the slots, in the plural.
    """

    def __init__(
        self, most_each: int = 1, most: int = MOST, work: str = "exports, promotions, predictions and comparisons"
    ) -> None:
        self._most_each = most_each
        self._most = most
        self._work = work
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
                    f"{caller.name} has {self._most_each} of the {self._work} that run, as many as one account "
                    "may (ceilings.exports): send the request again when it has ended"
                )
            if self._counts.total() >= self._most:
                raise BusyError(f"{self._most} {self._work} run already: send the request again in a while")
            self._counts[caller.id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._counts[caller.id] -= 1
