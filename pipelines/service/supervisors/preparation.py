"""Preparation of a study by its supervisor process: held by a lease, shown as `preparing`, open to requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipelines.study.check_listener import CheckListener
from pipelines.supervisor.event_log import append_to_log
from pipelines.workspace.home import Home
from search_spaces.errors import KerastudyError
from tracking.store.database import Store
from tracking.store.lease_keeper import LeaseKeeper
from tracking.store.study_queue import ControlRequest, StudyQueue

_READ_REQUESTS_EVERY_S = 1.0


class PreparationHaltedError(KerastudyError):
    """A person requested a pause or a cancellation of a study while its data was prepared.

    Attributes:
        control_request: the request.
    """

    def __init__(self, study: str, control_request: ControlRequest) -> None:
        super().__init__(f"{control_request} was requested while {study} was prepared")
        self.control_request: ControlRequest = control_request


class Preparation(CheckListener):
    """State `preparing` of one study, with the step that it is at as its reason.

    Args:
        home: the home that holds the study.
        store: the database of the studies.
        study: name of the study.

    Attributes:
        is_stop_requested: whether a person requested that no trial starts.
    """

    def __init__(self, home: Home, store: Store, study: str) -> None:
        self._home = home
        self._store = store
        self._study = study
        self._queue = StudyQueue(store)
        self._lease = LeaseKeeper(store)
        self._read_at = time.monotonic()
        self.is_stop_requested = False

    @contextmanager
    def hold(self, lease: str = "") -> Iterator[None]:
        """Hold the study's lease within the context, up to `pass_on` or `release`.

        Args:
            lease: token of the lease that this one continues; see `LeaseKeeper.pass_on`.

        Raises:
            StudyBusyError: if another process works on the study.
        """
        self._lease.claim(self._study, lease)
        try:
            yield
        finally:
            self._lease.release()

    def pass_on(self) -> str:
        """Give up the lease without ending it; return its token, with which the study's supervisor continues it."""
        return self._lease.pass_on()

    def release(self) -> None:
        """End the lease."""
        self._lease.release()

    def describe(self, step: str) -> None:
        """Store the step, for everybody who looks at the study, and write it to the study's log.

        Raises:
            LeaseLostError: if another process took the study.
        """
        with self._store.write() as connection:
            self._lease.verify(connection)
            self._queue.set_state(self._study, "preparing", step, connection=connection)
        with suppress(OSError):  # a full disk
            append_to_log(self._home, self._study, step)

    def note(self, line: str) -> None:
        """Store the line as a step is stored."""
        self.describe(line)

    def keep_alive(self) -> None:
        """Renew the lease and read requests where they are due.

        Raises:
            PreparationHaltedError: if a pause or a cancellation is requested.
            LeaseLostError: if another process took the study.
        """
        self._lease.renew_if_due()
        now = time.monotonic()
        if now - self._read_at > _READ_REQUESTS_EVERY_S:
            self._read_at = now
            control_request = self._queue.find_control_request(self._study)
            if control_request == "stop":  # handled: the search that follows starts no trial
                self.is_stop_requested = True
                self._queue.keep_stop(self._study)
            elif control_request is not None:
                raise PreparationHaltedError(self._study, control_request)
