"""Wait of a study that is resumed while the head of its cluster is away: as long as a running study waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from pipelines.engines.base import Engine, EngineLostError
from pipelines.study.check_listener import CheckListener
from pipelines.supervisor.event_text import format_event, format_wait
from pipelines.supervisor.events import EngineRestored
from pipelines.supervisor.lost_engine import explain_end, iterate_pauses

_TICK_S: Final = 0.5


def connect_patiently(
    connect: Callable[[Callable[[], None]], Engine],
    limit_s: float,
    listener: CheckListener,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Engine:
    """Return a study's engine, trying again until it is connected.

    Args:
        connect: connects it, and calls its argument about twice a second meanwhile.
        limit_s: seconds from the first failure to the end of the last try.
        listener: takes the line that states the wait; what its `keep_alive` raises ends the wait.
        clock: seconds that pass.
        pause: sleeps for so many seconds.

    Raises:
        EngineLostError: if it is not connected within the limit.
    """
    try:
        return connect(listener.keep_alive)
    except EngineLostError as error:
        reason = error
    began = clock()
    listener.note(format_wait(str(reason), limit_s))

    def rest() -> None:
        listener.keep_alive()
        if clock() - began >= limit_s:
            raise reason

    for pause_s in iterate_pauses():
        until = clock() + pause_s
        try:
            while (left_s := until - clock()) > 0:
                pause(min(left_s, _TICK_S))
                rest()
            engine = connect(rest)
            break
        except EngineLostError as error:
            reason = error
        if clock() - began >= limit_s:
            raise EngineLostError(explain_end(reason, limit_s)) from reason
    listener.note(format_event(EngineRestored(clock() - began)) or "")
    return engine
