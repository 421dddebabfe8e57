"""The queue as one host reads it in a round: which studies run somewhere, and which wait for a supervisor."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field
from typing import Final

from pipelines.engines.local_engine import cores
from pipelines.queries.record_reader import load_record
from pipelines.service.supervisors.scheduler import RunningStudy, WaitingStudy
from tracking.store.database import Store
from tracking.store.lease_keeper import LEASE_TTL_S
from tracking.store.study_queue import StudyQueue, StudyRecord
from tracking.store.submissions import Submission, Submissions

WAITING_STATES: Final = ("queued", "preparing", "running")
# A holder that was cut off from the database renews its lease within seconds of its return.
_OVERDUE_S: Final = LEASE_TTL_S / 4


@dataclass(frozen=True)
class StudyRound:
    """Studies of one round.

    Attributes:
        waiting: studies that wait, for any host.
        running: studies that run, on any host.
        records: the waiting studies as they were read, by name.
        foreground: how many `kerastudy run` on this host run; each takes a place here.
    """

    waiting: list[WaitingStudy] = field(default_factory=list)
    running: list[RunningStudy] = field(default_factory=list)
    records: dict[str, StudyRecord] = field(default_factory=dict)
    foreground: int = 0


class StudyRounds:
    """Reader of the queue; remembers between rounds what costs much to find out.

    Args:
        store: the database of the studies.
    """

    def __init__(self, store: Store) -> None:
        self._queue = StudyQueue(store)
        self._submissions = Submissions(store)
        # By study: the hash of its text, and how many trials it could train at once.
        self._trials_at_once: dict[str, tuple[int, int | None]] = {}
        # By study: the lease of a holder that cannot be seen, and since when it is known to be over.
        self._overdue: dict[str, tuple[str, float]] = {}

    def read(self, ours: frozenset[str], cancelling: frozenset[str]) -> StudyRound:
        """Return the queue as it is now.

        Args:
            ours: studies with a process of this host.
            cancelling: studies that are neither to be started nor counted.
        """
        found = StudyRound()
        records = self._queue.list(states=WAITING_STATES)
        submitted = self._submissions.find_many(record.name for record in records)
        for record in records:
            submission = submitted.get(record.name)
            if record.name in cancelling:
                continue
            if record.name in ours or not self._is_free(record):
                owner, trials = (submission.submitter_id, submission.trials_at_once) if submission else ("", None)
                found.running.append(RunningStudy(record.name, owner, trials))
                found = _count_foreground(found, record, submission)
            elif submission is not None:
                found.waiting.append(self._describe_waiting(record, submission))
                found.records[record.name] = record
        self._forget(found, {record.name for record in records})
        return found

    def _is_free(self, record: StudyRecord) -> bool:
        """Return whether nobody holds a study; a lease that is over is watched for a while first."""
        if record.holder is not None:
            return False
        if not record.is_unseen:
            return True
        mark, since = self._overdue.get(record.name, ("", 0.0))
        if mark != record.lease_mark:
            self._overdue[record.name] = record.lease_mark, time.monotonic()
            return False
        return time.monotonic() - since >= _OVERDUE_S

    def _describe_waiting(self, record: StudyRecord, submission: Submission) -> WaitingStudy:
        # Kept, since thousands may wait, of which each round would load every file.
        text = hash(record.document)
        known = self._trials_at_once.get(record.name)
        if known is None or known[0] != text:
            known = self._trials_at_once[record.name] = text, _find_trials_at_once(record)
        submitter = submission.submitter_id
        return WaitingStudy(record.name, submitter, submission.priority, submission.submitted_ms, known[1])

    def _forget(self, found: StudyRound, present: set[str]) -> None:
        self._trials_at_once = {
            name: known for name in found.records if (known := self._trials_at_once.get(name)) is not None
        }
        self._overdue = {name: seen for name, seen in self._overdue.items() if name in present}


def _count_foreground(found: StudyRound, record: StudyRecord, submission: Submission | None) -> StudyRound:
    on_this_host = submission is None and record.host == platform.node()
    return StudyRound(found.waiting, found.running, found.records, found.foreground + on_this_host)


def _find_trials_at_once(record: StudyRecord) -> int | None:
    """Return how many trials a study could train at once; None where that is known only once its data is read."""
    resources = load_record(record).spec.resources
    slots = 1 if resources.fleet == "off" else resources.fleet
    return None if slots == "auto" else (resources.workers or cores()) * slots
