"""Asking for something of a study that somebody works on, or that nobody does: pause, stop, cancel, resume."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipelines.operations.submit import is_unchecked
from pipelines.queries.study_reader import StudyReader, load_record
from pipelines.study.load import Study
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, KerastudyError
from tracking.store.database import Store
from tracking.store.study_queue import ENDED_STATES, ControlRequest, StudyQueue, StudyRecord

_PATIENCE_S = 20.0
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class StudyStatus:
    """How a study stands after something was asked for."""

    study: str
    state: str
    reason: str


def request_control(home: Home, name: str, control_request: ControlRequest) -> StudyStatus | None:
    """Ask whoever works on a study for something, and wait until it is done, or begun in the case of `stop`.

    Returns None where nobody works on a study that is to be cancelled: see `running.supervise_cancellation`.

    Raises:
        InputError: if there is no such study, or it is in no state to do that.
        KerastudyError: if whoever works on it does not answer.
    """
    with StudyReader.open(home) as reader:
        reader.read_budget(
            name
        )  # an unknown study is answered with the nearest name, and a foreign tuner's with a refusal
    with Store.open(home.store) as store:
        queue = StudyQueue(store)
        record, holder = queue.get(name), queue.find_holder(name)
        if record.state in ENDED_STATES:
            raise ConflictError(f"{name} is {record.state}: there is nothing to {control_request}")
        if holder is None:
            return _control_idle(queue, record, control_request)
        queue.set_control_request(name, control_request)
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            record = queue.get(name)
            if _is_done(record, control_request):
                return StudyStatus(name, record.state, record.reason)
            time.sleep(_LOOK_EVERY_S)
    raise KerastudyError(
        f"{holder} works on {name} and has not answered for {_PATIENCE_S:.0f} s; it was asked to {control_request}"
    )


def load_resumable(home: Home, name: str) -> Study:
    """Return a study as it was submitted, to go on with it.

    Raises:
        InputError: if there is no such study, it was cancelled, or somebody works on it.
    """
    with StudyReader.open(home) as reader:
        reader.read_budget(name)
    with Store.open(home.store) as store:
        queue = StudyQueue(store)
        record = queue.get(name)
        if (holder := queue.find_holder(name)) is not None and queue.find_unseen_holder(name) is None:
            raise ConflictError(f"{name} is not paused: {holder} works on it")
        if record.state == "cancelled":
            raise ConflictError(f"{name} was cancelled, which is for good: give a new study another name")
    return load_record(record)


def _control_idle(queue: StudyQueue, record: StudyRecord, control_request: ControlRequest) -> StudyStatus | None:
    name = record.name
    if control_request == "cancel" and not is_unchecked(record):
        return None
    if control_request == "cancel":  # nothing was recorded of it anywhere else
        queue.set_state(name, "cancelled", "cancelled on request")
        return StudyStatus(name, "cancelled", "cancelled on request")
    if control_request == "stop":
        raise ConflictError(
            f"nobody works on {name}: kerastudy resume {name} goes on with it, kerastudy cancel {name} ends it, "
            f"and kerastudy best {name} shows what it has found"
        )
    if record.state != "paused":
        queue.set_state(name, "paused", "resume it to go on")
        record = queue.get(name)
    return StudyStatus(name, record.state, record.reason)


def _is_done(record: StudyRecord, control_request: ControlRequest) -> bool:
    if record.state in ENDED_STATES or record.owner is None:
        return True
    return control_request == "stop" and record.control_request is None
