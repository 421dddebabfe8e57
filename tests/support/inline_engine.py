"""An engine that runs each job at once in this process, so that a test can change what the job meets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fake_channel import FakeChannel

from pipelines.engines.base import Backend, Event, Failed, Finished, Job, Layout
from pipelines.engines.local_worker import _one_line
from search_spaces.errors import InputError


class InlineEngine:
    """See `base.Engine`."""

    workers = 1
    idle = 1
    busy: Sequence[str] = ()
    layout = Layout()
    worker_memory_bytes = 10**10

    def __init__(self) -> None:
        self._events: list[Event] = []

    def warm(self, backend: Backend) -> None:
        """Do nothing: this process has what it has."""

    def submit(self, job: Job) -> None:
        assert job.backend in ("tensorflow", "none"), "this process has one backend"
        try:
            self._events.append(Finished(job.name, job.function.load()(job.payload, FakeChannel())))
        except InputError as error:
            self._events.append(Failed(job.name, "input", str(error), "", error.problems))
        except Exception as error:
            self._events.append(Failed(job.name, "error", _one_line(error)))

    def answer(self, job: str, message: Any) -> None:
        raise AssertionError("no job sends requests here")

    def stop(self, job: str) -> None:
        """Do nothing: no job ever runs longer."""

    def events(self, timeout_s: float) -> Sequence[Event]:
        events, self._events = self._events, []
        return events

    def restart(self, note: Callable[[str], None], while_waiting: Callable[[], None]) -> None:
        """Do nothing: this process is never lost."""

    def close(self) -> None:
        """Do nothing: there are no workers."""
