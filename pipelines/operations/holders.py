"""Holders of studies: the processes that work on them."""

from __future__ import annotations

from search_spaces.errors import ConflictError
from tracking.store.study_queue import ENDED_STATES, StudyRecord

_DELETING = "deleting"


def check_unheld(record: StudyRecord, verb: str) -> None:
    """Check that no process works on a study before it is changed as a whole.

    Args:
        record: the study.
        verb: command that is to change it, such as `archive`; named in the message.

    Raises:
        ConflictError: if a process works on it; names the process.
    """
    if (holder := record.holder) is None:
        return
    again = f"kerastudy {verb} {record.name}"
    # A study that has ended cannot be cancelled: its holder archives, deletes or delivers it, and is done in seconds.
    if record.state in (*ENDED_STATES, _DELETING):
        raise ConflictError(f"{holder} still changes or records {record.name}, which takes seconds: then {again} again")
    raise ConflictError(
        f"{holder} works on {record.name}: wait for its end or kerastudy cancel {record.name}, then {again}"
    )
