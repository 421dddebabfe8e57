"""Waits of a study for its cluster before its search begins: as long as a running study waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from pipelines.engines.base import Engine, EngineLostError
from pipelines.study.check_listener import CheckListener
from pipelines.supervisor.event_text import format_duration, format_event, format_wait
from pipelines.supervisor.events import EngineRestored
from pipelines.supervisor.lost_engine import explain_end, iterate_pauses

_TICK_S: Final = 0.5

Connected = TypeVar("Connected")
Done = TypeVar("Done")


class ClusterWait:
    """Waits of one study for its cluster.

    Args:
        limit_s: seconds from a failure to the end of the last try; None waits for nothing.
        listener: takes the lines that state a wait and its end; what its `keep_alive` raises ends the wait.
        clock: seconds that pass.
        pause: sleeps for so many seconds.
    """

    def __init__(
        self,
        limit_s: float | None,
        listener: CheckListener,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limit_s = limit_s
        self._listener = listener
        self._clock = clock
        self._sleep = pause

    def connect(self, connect: Callable[[Callable[[], None]], Engine]) -> Engine:
        """Return a study's engine, trying again until it is connected.

        Args:
            connect: connects it, and calls its argument about twice a second meanwhile.

        Raises:
            EngineLostError: if it is not connected within the limit.
        """
        try:
            return connect(self._listener.keep_alive)
        except EngineLostError as error:
            engine, waited_s = self._try_until_back(connect, error, self._clock())
        self._listener.note(format_event(EngineRestored(waited_s)) or "")
        return engine

    def run(self, work: Callable[[], Done], engine: Engine) -> Done:
        """Return the result of work on an engine, which begins again where the engine was lost meanwhile.

        The limit counts from the first loss, so that work which loses a cluster each time does not go on for ever.

        Raises:
            EngineLostError: if the engine is lost, and the limit is reached before the work is done.
        """
        lost_at: float | None = None
        while True:
            try:
                return work()
            except EngineLostError as error:
                lost_at = self._clock() if lost_at is None else lost_at
                _, waited_s = self._try_until_back(
                    lambda rest: engine.restart(self._listener.describe, rest), error, lost_at
                )
            self._listener.note(f"it is back after {format_duration(waited_s)}: the check of the study begins again")

    def _try_until_back(
        self, connect: Callable[[Callable[[], None]], Connected], reason: EngineLostError, lost_at: float
    ) -> tuple[Connected, float]:
        """Return what `connect` does once it succeeds, and the seconds from now to then."""
        began, until = self._clock(), lost_at + (self._limit_s or 0.0)
        if began >= until:
            raise EngineLostError(explain_end(reason, self._limit_s)) from reason
        self._listener.note(format_wait(str(reason), until - began))

        def rest() -> None:
            self._listener.keep_alive()
            if self._clock() >= until:
                raise reason

        for pause_s in iterate_pauses():
            try:
                self._pause(pause_s, rest)
                return connect(rest), self._clock() - began
            except EngineLostError as error:
                reason = error
            if self._clock() >= until:
                break
        raise EngineLostError(explain_end(reason, self._limit_s)) from reason

    def _pause(self, pause_s: float, rest: Callable[[], None]) -> None:
        until = self._clock() + pause_s
        while (left_s := until - self._clock()) > 0:
            self._sleep(min(left_s, _TICK_S))
            rest()
