"""Control of a study at work: its lease, its working time, requests to pause, stop or cancel it, why it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

from sqlalchemy import Connection

from pipelines.workspace.quota import HomeQuota
from search_spaces.errors import KerastudyError
from tracking.store.database import Store
from tracking.store.lease_keeper import LEASE_TTL_S, LeaseKeeper
from tracking.store.study_queue import ControlRequest, LeaseLostError, StudyQueue

UNSEEN_HOLDER_S: Final = LEASE_TTL_S
_READ_REQUESTS_EVERY_S = 1.0
_STOPPED: Final = "stopped on request"


class HaltedError(KerastudyError):
    """A pause or a cancellation was requested while a job of the study's end ran."""


class StudyControl:
    """Control of one study, held by its supervisor.

    Working time counts from the construction to `release`.

    Args:
        store: the database of the studies.
        study: name of the study.
        control_request: request that holds from the start.
        quota: the home's quota; none if None.
        clock: see `Supervisor`.

    Attributes:
        halt: requested end of all work: trials stop and, after a pause, continue later.
        stop_reason: why no further trial starts; empty while trials may start.
        is_stop_requested: whether a person requested that trials under way are the last ones.
        fatal: error of a trial that every other trial would repeat; empty while there is none.
        outage: why the work cannot go on for now, such as a full disk or a lost cluster; empty while it can.
    """

    def __init__(
        self,
        store: Store,
        study: str,
        control_request: ControlRequest | None = None,
        quota: HomeQuota | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._quota = quota
        self._study = study
        self._queue = StudyQueue(store)
        self._lease = LeaseKeeper(store)
        self._continued = ""
        self.clock = clock
        self._counted_at = self._read_at = clock()
        # Working time in the store; nobody else adds to it while the lease is held.
        self._counted_s: float | None = None
        self.halt: Literal["", "pause", "cancel"] = ""
        self.stop_reason = ""
        self.is_stop_requested = False
        self.fatal = ""
        self.outage = ""
        if control_request is not None:
            self.obey(control_request)

    def find_unseen_holder(self) -> str | None:
        """Return the process that holds the study and may or may not be alive; None where there is none."""
        return self._queue.find_unseen_holder(self._study)

    def continue_lease(self, token: str) -> None:
        """Let `claim` continue a lease that was passed to this process; see `LeaseKeeper.pass_on`."""
        self._continued = token

    def claim(self) -> None:
        """Lease the study; a stop that an earlier supervisor has begun goes on.

        Raises:
            StudyBusyError: if another supervisor works on it.
        """
        self._lease.claim(self._study, self._continued)
        if self._queue.is_stopping(self._study):
            self.is_stop_requested, self.stop_reason = True, _STOPPED

    def release(self) -> None:
        """Count the working time and end the lease."""
        # After a lost lease the stored time is another supervisor's.
        with suppress(LeaseLostError):
            self.count_time()
            if self.is_stop_requested:  # a later request to pause has taken its place in the queue
                self._queue.keep_stop(self._study)
        self._lease.release()

    def is_held(self) -> bool:
        """Return whether the lease is valid."""
        return self._lease.is_held()

    @property
    def lease(self) -> str:
        """Token of the lease; empty before `claim`."""
        return self._lease.token

    def verify(self, connection: Connection) -> None:
        """Check inside a transaction that the lease is valid.

        Raises:
            LeaseLostError: if it is not.
        """
        self._lease.verify(connection)

    @property
    def is_halted(self) -> bool:
        """Whether all trials stop."""
        return bool(self.halt or self.fatal or self.outage)

    def keep_alive(self) -> None:
        """Renew the lease and read control requests where they are due; called about twice a second.

        Raises:
            LeaseLostError: if another supervisor took the study over.
            QuotaError: if the home has reached its quota.
        """
        if self._quota is not None:
            self._quota.check()
        # With each renewal, so that a kill costs at most ten seconds of the working time.
        if self._lease.renew_if_due():
            self.count_time()
        now = self.clock()
        if now - self._read_at > _READ_REQUESTS_EVERY_S:
            self._read_at = now
            if (control_request := self._queue.find_control_request(self._study)) is not None:
                self.obey(control_request)

    def keep_alive_unless_halted(self) -> None:
        """Do what `keep_alive` does.

        Raises:
            HaltedError: if a pause or a cancellation was requested.
        """
        self.keep_alive()
        if self.halt:
            raise HaltedError

    def rest(self) -> None:
        """Do what `keep_alive_unless_halted` does, and count the time since the last call as no working time.

        Raises:
            HaltedError: if a pause or a cancellation was requested.
        """
        self._counted_at = self.clock()
        self.keep_alive_unless_halted()

    def count_time(self) -> None:
        """Add the working time since the last call to the stored one."""
        now = self.clock()
        with self._store.write() as connection:
            self.verify(connection)
            self._queue.add_elapsed(self._study, now - self._counted_at, connection=connection)
        if self._counted_s is not None:
            self._counted_s += now - self._counted_at
        self._counted_at = now

    def compute_elapsed_s(self) -> float:
        """Return the working time of the study in seconds, earlier runs included."""
        if self._counted_s is None:
            self._counted_s = self._queue.get(self._study).elapsed_s
        return self._counted_s + self.clock() - self._counted_at

    def request_halt(self, halt: Literal["pause", "cancel"]) -> None:
        """Request the end of all work; a pause takes no cancellation back. Safe to call from a signal handler."""
        if self.halt != "cancel":
            self.halt = halt

    def obey(self, control_request: ControlRequest) -> None:
        """Begin what was requested."""
        # A pause and a cancellation stay in the queue until the study is claimed again.
        if control_request != "stop":
            self.request_halt(control_request)
            return
        self.is_stop_requested = True
        with self._store.write() as connection:
            self.verify(connection)
            # A stop in the time after the search changes nothing, which a person should see.
            reason = f"it is ending already: {self.stop_reason}"
            if not self.stop_reason:
                self.stop_reason = _STOPPED
                reason = "stopping: trials under way may finish"
            self._queue.set_state(self._study, "running", reason, connection=connection)
            self._queue.keep_stop(self._study, connection=connection)
