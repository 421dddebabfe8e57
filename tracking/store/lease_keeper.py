"""Leases of one process on studies, renewed while it works on them."""

from __future__ import annotations

import time
from typing import Final

from sqlalchemy import Connection

from tracking.store.database import Store
from tracking.store.processes import identify_process
from tracking.store.study_queue import Lease, StudyQueue

LEASE_TTL_S: Final = 60.0
# Six renewals in a lease: a busy machine may miss some.
RENEW_EVERY_S = 10.0


class LeaseKeeper:
    """Leases of this process on one or more studies.

    Args:
        store: the database of the studies.
    """

    def __init__(self, store: Store) -> None:
        self._queue = StudyQueue(store)
        self._leases: list[Lease] = []
        self._renewed_at = time.monotonic()

    def claim(self, study: str, after: str = "") -> None:
        """Lease a study; see `StudyQueue.claim`.

        Args:
            study: its name.
            after: token of the lease that this one continues; see `pass_on`.

        Raises:
            StudyBusyError: if another live process holds it.
        """
        self._leases.append(self._queue.claim(study, identify_process(), LEASE_TTL_S, after=after))
        self._renewed_at = time.monotonic()

    def renew_if_due(self) -> bool:
        """Renew the leases if the last renewal is `RENEW_EVERY_S` ago; return whether they were renewed.

        Raises:
            LeaseLostError: if another process took a study.
        """
        now = time.monotonic()
        if now - self._renewed_at <= RENEW_EVERY_S:
            return False
        self._renewed_at = now
        self._leases = [self._queue.renew(lease) for lease in self._leases]
        return True

    def verify(self, connection: Connection) -> None:
        """Check inside a transaction that all leases are still valid; see `StudyQueue.verify`.

        Raises:
            LeaseLostError: if one is not.
        """
        for lease in self._leases:
            self._queue.verify(lease, connection)

    def is_held(self) -> bool:
        """Return whether all leases are still valid."""
        return all(self._queue.is_held(lease) for lease in self._leases)

    @property
    def token(self) -> str:
        """Token of the only lease; empty where there is none."""
        return self._leases[0].token if self._leases else ""

    def pass_on(self) -> str:
        """Forget the only lease without ending it; return its token, with which another keeper continues it."""
        (lease,) = self._leases
        self._leases = []
        return lease.token

    def release(self) -> None:
        """End all leases."""
        for lease in self._leases:
            self._queue.release(lease)
