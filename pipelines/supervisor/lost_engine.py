"""Wait of a study for what its jobs run on, such as a cluster whose head was lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from typing import Final

from pipelines.engines.base import Engine, EngineLostError
from pipelines.supervisor.event_text import format_duration
from pipelines.supervisor.events import EngineLost, EngineRestored, StudyEvent
from pipelines.supervisor.study_control import HaltedError, StudyControl

_FIRST_PAUSE_S: Final = 1.0  # chosen; each pause is twice the one before
_LONGEST_PAUSE_S: Final = 60.0
_TICK_S: Final = 0.5


def iterate_pauses() -> Iterator[float]:
    """Yield the seconds before each further try."""
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def explain_end(error: EngineLostError, limit_s: float | None) -> str:
    """Return why a study waits no longer for its engine, and what to do."""
    waited = f", and not within {format_duration(limit_s)} (resources.reconnect)" if limit_s else ""
    return f"{error}{waited}; run the same file again when it is back: no trial is lost"


class LostEngine:
    """Losses of a study's engine, and the wait after each.

    The limit counts from a loss to the next result, so that a cluster that is lost again and again before an epoch has
    ended does not keep a study for ever.

    Args:
        study: name of the study.
        engine: the engine.
        control: the study's lease and its control requests.
        limit_s: seconds from a loss to the next result; None waits for nothing.
        note: states in the queue what the study waits for.
        pause: sleeps for so many seconds.
    """

    def __init__(
        self,
        study: str,
        engine: Engine,
        control: StudyControl,
        limit_s: float | None,
        note: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._study = study
        self._engine = engine
        self._control = control
        self._limit_s = limit_s
        self._note = note
        self._sleep = pause
        self._reason = ""
        self._lost_at: float | None = None
        self._pauses = iterate_pauses()

    def record_result(self) -> None:
        """Take note that a trial has a new result."""
        self._lost_at, self._pauses = None, iterate_pauses()

    def wait(self, error: EngineLostError) -> Generator[StudyEvent, None, str]:
        """Wait until the engine has started again, or a pause or a cancellation was requested.

        Returns:
            Why the study does not wait any longer; empty where it goes on, or was halted.

        Raises:
            LeaseLostError: if another supervisor took the study over.
            QuotaError: if the home has reached its quota.
        """
        self._control.count_time()
        began = self._control.clock()
        self._lost_at = began if self._lost_at is None else self._lost_at
        left_s = self._compute_left_s()
        if left_s <= 0:
            return explain_end(error, self._limit_s)
        yield EngineLost(self._study, str(error), left_s)
        try:
            while (again := self._try_again(error)) is not None:
                error = again
                if self._compute_left_s() <= 0:
                    return explain_end(error, self._limit_s)
            self._control.rest()
        except HaltedError:
            return ""
        yield EngineRestored(self._control.clock() - began)
        return ""

    def _try_again(self, error: EngineLostError) -> EngineLostError | None:
        """Start the engine after a pause; return why it cannot be started, None where it was."""
        self._reason = str(error)
        self._note(f"waiting for it to come back: {error}")
        self._pause()
        try:
            self._engine.restart(self._note, self._rest)
        except EngineLostError as again:
            return again
        return None

    def _pause(self) -> None:
        until = self._control.clock() + min(next(self._pauses), self._compute_left_s())
        self._control.rest()
        while (left_s := until - self._control.clock()) > 0:
            self._sleep(min(left_s, _TICK_S))
            self._control.rest()

    def _rest(self) -> None:
        """Keep the study's lease while the engine starts.

        Raises:
            EngineLostError: once the limit is reached.
        """
        self._control.rest()
        if self._compute_left_s() <= 0:
            raise EngineLostError(self._reason)

    def _compute_left_s(self) -> float:
        if self._limit_s is None or self._lost_at is None:
            return 0.0
        return self._lost_at + self._limit_s - self._control.clock()
