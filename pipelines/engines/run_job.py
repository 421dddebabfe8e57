"""Runs a single job to its end: reading data, checking a model, exporting, training one trial again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from pipelines.engines.base import Asked, Engine, Failed, Finished, Job, Reported
from search_spaces.errors import InputError, KerastudyError

_ATTEMPTS = 3


class Talk:
    """What is said to a job that reports and asks; most do neither."""

    def heard(self, message: Any) -> None:
        """Take note of what the job reported."""

    def answer(self, message: Any) -> Any:
        """Return the answer to what the job asked."""
        raise AssertionError(f"nobody expected the question {message}")


class JobError(KerastudyError):
    """A job that does not belong to a trial ended badly."""

    def __init__(self, job: Job, failed: Failed) -> None:
        super().__init__(f"{job.name} failed: {failed.reason}; what it printed is in {job.log}")
        self.job = job.name
        self.kind = failed.kind
        self.reason = failed.reason
        self.log = job.log
        # A job that ends its process by itself would do it again.
        self.was_killed = failed.kind == "died" and "exited with status" not in failed.reason


def run_alone(
    engine: Engine,
    job: Job,
    while_waiting: Callable[[], None] = lambda: None,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    talk: Talk | None = None,
) -> Any:
    """Run a job while nothing else runs on the engine, and return its result.

    `meanwhile` is called once when the job has begun, then `while_waiting` about twice a second; what they raise ends
    the job. `talk` hears what it reports and answers what it asks. One whose worker is killed is begun again, up to
    three times: all that such jobs write is written aside.

    Raises:
        InputError: if the job says that what was handed in is at fault.
        JobError: if it failed in any other way; names its log.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _run_once(engine, job, while_waiting, meanwhile if attempt == 1 else lambda: None, talk or Talk())
        except JobError as error:
            if not error.was_killed or attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _run_once(
    engine: Engine, job: Job, while_waiting: Callable[[], None], meanwhile: Callable[[], None], talk: Talk
) -> Any:
    engine.submit(job)
    try:
        meanwhile()
        while True:
            while_waiting()
            for event in engine.events(0.5):
                if isinstance(event, Finished):
                    return event.result
                if isinstance(event, Failed):
                    _raise(event, job)
                if isinstance(event, Reported):
                    talk.heard(event.message)
                elif isinstance(event, Asked):
                    engine.answer(event.job, talk.answer(event.message))
    except BaseException:
        engine.stop(job.name)
        raise


def _raise(event: Failed, job: Job) -> NoReturn:
    if event.kind == "input":
        raise InputError(event.problems)
    raise JobError(job, event)
