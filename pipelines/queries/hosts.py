"""Hosts that run studies of a store, with the studies that each runs now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tracking.store.database import Store
from tracking.store.study_queue import StudyQueue
from tracking.store.supervisors import Supervisors


@dataclass(frozen=True)
class HostView:
    """One process that runs studies, and its host.

    Attributes:
        host: name of the host.
        process: the process in words.
        version: version of kerastudy there.
        state: `ready`; `draining` while it puts its studies back into the queue; `lost` without a sign of life.
        studies: most studies that it runs at a time.
        running: the studies that run on its host.
        seen_s: seconds since its last sign of life.
    """

    host: str
    process: str
    version: str
    state: str
    studies: int
    running: tuple[str, ...]
    seen_s: float


def list_hosts(store: Store) -> tuple[HostView, ...]:
    """Return the processes that run studies, by host."""
    running: dict[str, list[str]] = {}
    for record in StudyQueue(store).list(states=("queued", "preparing", "running")):
        if record.host:
            running.setdefault(record.host, []).append(record.name)
    return tuple(
        HostView(
            each.host,
            each.process,
            each.version,
            each.state,
            each.studies,
            tuple(running.get(each.host, ())),
            round(each.seen_s, 1),
        )
        for each in Supervisors(store).list()
    )


def count_hosts(store: Store) -> Mapping[str, int]:
    """Return how many processes that run studies are in each state."""
    return dict(Counter(each.state for each in Supervisors(store).list()))
