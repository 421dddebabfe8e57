"""Delivery of records that MLflow lacks of studies at rest: nobody works on such a study, so nobody else delivers them.

A study that ended while MLflow was away, or whose process died at that moment, leaves rows in the outbox. One process
at a time delivers those of one study, under the study's lease, so that of several hosts one does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from pipelines.service.supervisors.supervisor_handle import SupervisorHandle
from pipelines.service.supervisors.supervisor_messages import SupervisorRequest
from tracking.outbox.outbox import Outbox
from tracking.store.database import Store
from tracking.store.study_queue import ENDED_STATES, StudyQueue

_EVERY_S: Final = 60.0
_AFTER_FAILURE_S: Final = 600.0  # each attempt loads MLflow, which takes seconds of a core
_log = logging.getLogger("kerastudy.supervisors")


class LateDelivery:
    """Process of one host that delivers what MLflow lacks of studies at rest.

    Args:
        store: the database of the studies.
        make_request: returns the request of a process for a study.
    """

    def __init__(self, store: Store, make_request: Callable[[str], SupervisorRequest]) -> None:
        self._outbox = Outbox(store)
        self._queue = StudyQueue(store)
        self._make_request = make_request
        self._process: SupervisorHandle | None = None
        self._not_before = time.monotonic() + _EVERY_S
        # By study: when it may be tried again.
        self._failed: dict[str, float] = {}
        self.study = ""

    def step(self) -> None:
        """Collect the process if it has ended, and start the next one where that is due."""
        if self._process is not None and self._process.has_ended:
            self._collect(self._process)
        if self._process is not None or time.monotonic() < self._not_before:
            return
        self._not_before = time.monotonic() + _EVERY_S
        if (study := self._choose()) is not None:
            self.study = study
            self._process = SupervisorHandle(self._make_request(study))

    def stop(self, timeout_s: float) -> None:
        """End the process: the rows that it has not delivered stay."""
        if self._process is not None:
            self._process.terminate()
            if not self._process.wait(timeout_s):
                self._process.kill()
            self._process.close()
            self._process = None

    def _choose(self) -> str | None:
        now = time.monotonic()
        for study in self._outbox.list_studies():
            record = self._queue.find(study)
            is_at_rest = record is not None and record.state in (*ENDED_STATES, "paused") and record.holder is None
            if is_at_rest and self._failed.get(study, 0.0) <= now:
                return study
        return None

    def _collect(self, process: SupervisorHandle) -> None:
        self._process = None
        if process.succeeded:
            process.close()
            self._failed.pop(self.study, None)
            return
        self._failed[self.study] = time.monotonic() + _AFTER_FAILURE_S
        _log.warning("the delivery to MLflow %s", process.describe_end(), extra={"study": self.study})
