"""Asking for something of a study that somebody works on, or that nobody does: pause, stop, cancel, resume."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pipelines.operations.submit import is_unseen
from pipelines.queries.study_reader import Lookup, loaded
from pipelines.study.load import Study
from pipelines.workspace.home import Home
from search_spaces.errors import ConflictError, KerastudyError
from tracking.store.database import Store
from tracking.store.study_queue import OVER, StudyQueue, StudyRecord, Wish

_PATIENCE_S = 20.0
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Standing:
    """How a study stands after something was asked for."""

    study: str
    state: str
    reason: str


def ask_for(home: Home, name: str, wish: Wish) -> Standing | None:
    """Ask whoever works on a study for something, and wait until it is done, or begun in the case of `stop`.

    Returns None where nobody works on a study that is to be cancelled: see `running.cancelling`.

    Raises:
        InputError: if there is no such study, or it is in no state to do that.
        KerastudyError: if whoever works on it does not answer.
    """
    with Lookup.open(home) as lookup:
        lookup.budget(name)  # an unknown study is answered with the nearest name, and a foreign tuner's with a refusal
    with Store.open(home.store) as store:
        queue = StudyQueue(store)
        record, holder = queue.get(name), queue.holder(name)
        if record.state in OVER:
            raise ConflictError(f"{name} is {record.state}: there is nothing to {wish}")
        if holder is None:
            return _unattended(queue, record, wish)
        queue.set_wish(name, wish)
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            record = queue.get(name)
            if _is_done(record, wish):
                return Standing(name, record.state, record.reason)
            time.sleep(_LOOK_EVERY_S)
    raise KerastudyError(
        f"{holder} works on {name} and has not answered for {_PATIENCE_S:.0f} s; it was asked to {wish}"
    )


def to_resume(home: Home, name: str) -> Study:
    """Return a study as it was submitted, to go on with it.

    Raises:
        InputError: if there is no such study, it was cancelled, or somebody works on it.
    """
    with Lookup.open(home) as lookup:
        lookup.budget(name)
    with Store.open(home.store) as store:
        queue = StudyQueue(store)
        record = queue.get(name)
        if (holder := queue.holder(name)) is not None and queue.unseen_holder(name) is None:
            raise ConflictError(f"{name} is not paused: {holder} works on it")
        if record.state == "cancelled":
            raise ConflictError(f"{name} was cancelled, which is for good: give a new study another name")
    return loaded(record)


def _unattended(queue: StudyQueue, record: StudyRecord, wish: Wish) -> Standing | None:
    name = record.name
    if wish == "cancel" and not is_unseen(record):
        return None
    if wish == "cancel":  # nothing was recorded of it anywhere else
        queue.set_state(name, "cancelled", "cancelled on request")
        return Standing(name, "cancelled", "cancelled on request")
    if wish == "stop":
        raise ConflictError(
            f"nobody works on {name}: kerastudy resume {name} goes on with it, kerastudy cancel {name} ends it, "
            f"and kerastudy best {name} shows what it has found"
        )
    if record.state != "parked":
        queue.set_state(name, "parked", "paused; resume it to go on")
        record = queue.get(name)
    return Standing(name, record.state, record.reason)


def _is_done(record: StudyRecord, wish: Wish) -> bool:
    if record.state in OVER or record.owner is None:
        return True
    return wish == "stop" and record.wish is None
