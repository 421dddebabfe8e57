"""Channel without a supervisor: it records messages, and answers by script."""

from __future__ import annotations

from typing import Any


class FakeChannel:
    """See `base.Channel`.

    Args:
        prune_at: epochs, counted from 0, at whose rung a trial is pruned.
        pause_at: epochs at whose rung it is paused.
        die_at: epoch at whose report the worker's process ends.
    """

    def __init__(
        self, prune_at: tuple[int, ...] = (), die_at: int | None = None, pause_at: tuple[int, ...] = ()
    ) -> None:
        self._prune_at = prune_at
        self._die_at = die_at
        self._pause_at = pause_at
        self.beats = 0
        self.reported: list[Any] = []
        self.requested: list[Any] = []

    def beat(self) -> None:
        self.beats += 1

    def report(self, message: Any) -> None:
        self.reported.append(message)
        if self._die_at is not None and message.epoch == self._die_at:
            raise WorkerDiedError

    def request(self, message: Any) -> str:
        self.requested.append(message)
        if message.epoch in self._pause_at:
            return "pause"
        return "prune" if message.epoch in self._prune_at else "go_on"


class WorkerDiedError(BaseException):
    """The worker's process ended here."""
