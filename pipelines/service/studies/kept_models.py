"""Worker processes that have loaded a model, kept for the next prediction with it.

Each process serves one model, and one request at a time. What it has loaded counts for files of exactly one digest: a
model that has changed is another model, and the process of the earlier one ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.service.supervisors.bounded_engine import BoundedEngine
from pipelines.training.messages import PastTrial

KEPT_S = 600.0
"""Seconds that a process stays after its last prediction; chosen: as long as what is kept for the next command."""


@dataclass(frozen=True)
class ServedModel:
    """A model of a study.

    Attributes:
        study: the study's name.
        trial: where its files are.
        digest: of these files.
    """

    study: str
    trial: PastTrial
    digest: str


@dataclass(frozen=True)
class _Kept:
    model: ServedModel
    engine: BoundedEngine
    memory_bytes: int
    used_at: float


class KeptModels:
    """Idle processes by the model that each has loaded; used from several threads.

    Args:
        room_bytes: most memory that all of them hold; those that were used longest ago end first.
        kept_s: seconds that each stays after its last use.
    """

    def __init__(self, room_bytes: int, kept_s: float = KEPT_S) -> None:
        self._room_bytes = room_bytes
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._kept: list[_Kept] = []  # the one that was used longest ago is the first
        self._is_open = True

    def __len__(self) -> int:
        """Return how many processes are kept."""
        return len(self._kept)

    def take(self, model: ServedModel) -> BoundedEngine | None:
        """Return the engine whose process has loaded a model, which the caller puts back; None if there is none."""
        self._end(lambda kept: kept.model.trial == model.trial and kept.model.digest != model.digest)
        with self._lock:
            found = next((kept for kept in reversed(self._kept) if kept.model == model), None)
            if found is not None:
                self._kept.remove(found)
        return found.engine if found is not None else None

    def put(self, model: ServedModel, engine: BoundedEngine) -> None:
        """Keep an engine whose process has loaded a model, or close it where there is no room for it."""
        memory_bytes = engine.measure_idle_bytes()
        with self._lock:
            # A second one of a model would serve two requests in the same moment, which are few.
            is_kept = any(kept.model == model for kept in self._kept)
            if fits := self._is_open and not is_kept and 0 < memory_bytes <= self._room_bytes:
                self._kept.append(_Kept(model, engine, memory_bytes, time.monotonic()))
        if not fits:
            engine.close()
        self._make_room()

    def drop(self, study: str) -> None:
        """End the processes of a study's models."""
        self._end(lambda kept: kept.model.study == study)

    def end_idle(self, exists: Callable[[str], bool]) -> None:
        """End the processes that were not used for long, and those of studies that do not exist any more."""
        oldest = time.monotonic() - self._kept_s
        self._end(lambda kept: kept.used_at <= oldest or not exists(kept.model.study))

    def close(self) -> None:
        """End all of them, and keep none from now on."""
        self._is_open = False
        self._end(lambda _: True)

    def _make_room(self) -> None:
        while True:
            with self._lock:
                if sum(kept.memory_bytes for kept in self._kept) <= self._room_bytes:
                    return
                first = self._kept.pop(0)
            first.engine.close()

    def _end(self, is_over: Callable[[_Kept], bool]) -> None:
        with self._lock:
            over = [kept for kept in self._kept if is_over(kept)]
            self._kept = [kept for kept in self._kept if kept not in over]
        # Without the lock: a process takes a moment to end.
        for kept in over:
            kept.engine.close()
