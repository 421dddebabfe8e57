"""Control of studies: pause, stop or cancel one, with or without a process that works on it; load one to resume it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from pipelines.queries.record_reader import load_record
from pipelines.queries.study_reader import StudyReader
from pipelines.study.stored import is_unchecked
from pipelines.study.study import Study
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, KerastudyError
from tracking.store.database import Store
from tracking.store.study_queue import ENDED_STATES, ControlRequest, StudyQueue, StudyRecord

_PATIENCE_S = 20.0  # a supervisor reads requests each second, and puts trials back within a few
_POLL_S = 0.2  # a person waits


@dataclass(frozen=True)
class StudyStatus:
    """State of a study, and the reason for it."""

    study: str
    state: str
    reason: str


def control_study(home: Home, name: str, control_request: ControlRequest) -> StudyStatus:
    """Pause, stop or cancel a study; return its status afterwards.

    Raises:
        InputError: if there is no such study, or its state does not allow that.
        KerastudyError: if the process that works on it does not respond.
    """
    with Store.open(home.store) as store:
        record = StudyQueue(store).find(name)
    if control_request == "pause" and record is not None and _is_interrupted(record):
        # Its trials, its run in MLflow and its counts are as the kill left them. It is paused without that as well.
        with suppress(KerastudyError, OSError):
            return _halt(home, name, "pause")
    status = request_control(home, name, control_request)
    return _halt(home, name, "cancel") if status is None else status


def _halt(home: Home, name: str, control_request: Literal["pause", "cancel"]) -> StudyStatus:
    from pipelines.operations.run import supervise_halt  # takes long to import
    from pipelines.supervisor.event_log import record_events

    with supervise_halt(load_resumable(home, name), home, control_request) as supervisor:
        for _ in record_events(home, name, supervisor.run()):
            pass
    with Store.open(home.store) as store:
        record = StudyQueue(store).get(name)
    return StudyStatus(name, record.state, record.reason)


def _is_interrupted(record: StudyRecord) -> bool:
    """Return whether a process that worked on a study was killed."""
    return record.state == "running" and record.holder is None and not is_unchecked(record)


def request_control(home: Home, name: str, control_request: ControlRequest) -> StudyStatus | None:
    """Send a request to the process that works on a study; wait until it is done, or for `stop` until it has begun.

    Returns:
        The status afterwards; None if a study is to be cancelled that has begun and that no process works on: a
        supervisor has to end its trials, see `supervise_halt`.

    Raises:
        InputError: if there is no such study, or its state does not allow that.
        KerastudyError: if the process that works on it does not respond.
    """
    with StudyReader.open(home) as reader:
        reader.load_study(name)  # an unknown study's error names the nearest one; KerasTuner's own tuner is refused
    with Store.open(home.store) as store:
        queue = StudyQueue(store)
        record, holder = queue.get(name), queue.find_holder(name)
        if record.state in (*ENDED_STATES, "deleting"):
            raise ConflictError(f"{name} is {record.state}: there is nothing to {control_request}")
        if holder is None:
            return _control_idle(queue, record, control_request)
        # By way of the store: the supervisor may run in a container, where a signal would not reach it.
        queue.set_control_request(name, control_request)
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            record = queue.get(name)
            if _is_done(record, control_request):
                return StudyStatus(name, record.state, record.reason)
            if _is_left(record):
                return _control_idle(queue, record, control_request)
            time.sleep(_POLL_S)
    raise KerastudyError(
        f"{holder} works on {name} and has not responded for {_PATIENCE_S:.0f} s to the request to {control_request}"
    )


def load_resumable(home: Home, name: str) -> Study:
    """Return a study as it was submitted, if it can be resumed.

    Raises:
        InputError: if there is no such study, it was cancelled, or another process works on it.
    """
    with StudyReader.open(home) as reader:
        reader.load_study(name)
    with Store.open(home.store) as store:
        queue = StudyQueue(store)
        record = queue.get(name)
        # A holder that cannot be seen from here may be dead: the supervisor watches its lease before it starts.
        if (holder := queue.find_holder(name)) is not None and queue.find_unseen_holder(name) is None:
            raise ConflictError(f"{name} is not paused: {holder} works on it")
        if record.state == "deleting":
            raise ConflictError(f"{name} is being deleted: {record.reason}")
        if record.archived_ms is not None:
            raise ConflictError(f"{name} is archived: kerastudy unarchive {name} first")
        if record.state == "cancelled":
            raise ConflictError(f"{name} was cancelled, which is final: give a new study another name")
    return load_record(record)


def _control_idle(queue: StudyQueue, record: StudyRecord, control_request: ControlRequest) -> StudyStatus | None:
    """Change the state of a study that no process works on."""
    name = record.name
    # A study that has begun has trials and MLflow runs that must be ended too.
    if control_request == "cancel" and not is_unchecked(record):
        return None
    if control_request == "cancel":  # it has no trials and nothing in MLflow: no supervisor is needed
        queue.set_state(name, "cancelled", "cancelled on request")
        return StudyStatus(name, "cancelled", "cancelled on request")
    if control_request == "stop":
        raise ConflictError(
            f"nobody works on {name}: kerastudy resume {name} resumes it, kerastudy cancel {name} ends it, "
            f"and kerastudy best {name} shows what it has found"
        )
    # A reason that is there, such as a full disk, is not replaced. The state is stored where it is paused already, too:
    # its time shows a command that is about to resume it that it was paused meanwhile.
    reason = record.reason if record.state == "paused" else "resume it to go on"
    queue.set_state(name, "paused", reason)
    return StudyStatus(name, "paused", reason)


def _is_left(record: StudyRecord) -> bool:
    """Return whether the process that a request was sent to has paused the study, or died, before it read it."""
    return record.state in ("paused", "running") and record.holder is None


def _is_done(record: StudyRecord, control_request: ControlRequest) -> bool:
    if record.state in ENDED_STATES:
        return True
    # Between the end of a preparation and the cancellation, nobody holds the study.
    if record.owner is None and control_request != "cancel":
        return True
    # A stop takes as long as the running trials: it is done for this command once the supervisor has read it.
    return control_request == "stop" and record.control_request != "stop"
