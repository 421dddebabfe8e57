"""Execution of a single job to its end: preparing data, checking a model, exporting, training one trial again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn

from pipelines.engines.attempts import RetryPolicy
from pipelines.engines.base import Engine, Event, Failed, Finished, Job, Payload, Reported, Requested, Result
from search_spaces.errors import InputError, KerastudyError

# Only of a killed worker: another attempt over its time or its memory would end the same way.
_RETRY_POLICY = RetryPolicy(3, kinds=frozenset({"died"}))


class Responder:
    """Receiver of a job's reports and requests; most jobs send neither."""

    def record(self, message: Any) -> None:
        """Record a message that the job reported."""

    def answer(self, message: Any) -> Any:
        """Return the answer to a request of the job."""
        raise AssertionError(f"unexpected request {message}")


class JobError(KerastudyError):
    """A job that does not belong to a trial failed."""

    def __init__(self, job: Job[Any, Any], failed: Failed) -> None:
        super().__init__(f"{job.name} failed: {failed.reason}; its output is in {job.log}")
        self.job = job.name
        self.failed = failed
        self.kind = failed.kind
        self.reason = failed.reason
        self.log = job.log
        # A job that ends its process by itself would do it again.
        self.was_killed = failed.kind == "died" and "exited with status" not in failed.reason


def run_job(
    engine: Engine,
    job: Job[Payload, Result],
    while_waiting: Callable[[], None] = lambda: None,
    *,
    responder: Responder | None = None,
    bystander: Callable[[Event], None] = lambda event: None,
) -> Result:
    """Run a job while nothing but jobs aside runs on the engine, and return its result.

    A job whose worker is killed is started again, up to three times: such jobs write aside and rename.

    Args:
        engine: runs the job.
        job: the work.
        while_waiting: called about twice a second; what it raises ends the job.
        responder: receives the job's reports and answers its requests.
        bystander: receives the events of other jobs.

    Raises:
        InputError: if the job refuses its input.
        JobError: if it failed in any other way; names its log.
    """
    spent_s: list[float] = []
    while True:
        started = time.monotonic()
        try:
            return _run_once(engine, job, while_waiting, responder or Responder(), bystander)
        except JobError as error:
            spent_s.append(time.monotonic() - started)
            if not (error.was_killed and _RETRY_POLICY.allows_retry(error.failed, spent_s)):
                raise


def _run_once(
    engine: Engine,
    job: Job[Payload, Result],
    while_waiting: Callable[[], None],
    responder: Responder,
    bystander: Callable[[Event], None],
) -> Result:
    engine.submit(job)
    try:
        while True:
            while_waiting()
            events = engine.events(0.5)
            for event in (event for event in events if event.job != job.name):
                bystander(event)
            for event in (event for event in events if event.job == job.name):
                if isinstance(event, Finished):
                    result: Result = event.result
                    return result
                if isinstance(event, Failed):
                    _raise(event, job)
                if isinstance(event, Reported):
                    responder.record(event.message)
                elif isinstance(event, Requested):
                    engine.answer(event.job, responder.answer(event.message))
    except BaseException:
        engine.stop(job.name)
        raise


def _raise(event: Failed, job: Job[Any, Any]) -> NoReturn:
    if event.kind == "input":
        raise InputError(event.problems)
    raise JobError(job, event)
