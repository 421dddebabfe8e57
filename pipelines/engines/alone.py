"""Runs a single job to its end: reading data, checking a model, exporting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from pipelines.engines.engine import Engine, Failed, Finished, Job
from search_spaces.errors import InputError, KerastudyError


class JobError(KerastudyError):
    """A job that does not belong to a trial ended badly."""

    def __init__(self, job: Job, failed: Failed) -> None:
        super().__init__(f"{job.name} failed: {failed.reason}; what it printed is in {job.log}")
        self.job = job.name
        self.kind = failed.kind
        self.reason = failed.reason
        self.log = job.log


def run_alone(
    engine: Engine,
    job: Job,
    while_waiting: Callable[[], None] = lambda: None,
    *,
    meanwhile: Callable[[], None] = lambda: None,
) -> Any:
    """Run a job while nothing else runs on the engine, and return its result.

    `meanwhile` is called once when the job has begun, then `while_waiting` about twice a second; what they raise ends
    the job.

    Raises:
        InputError: if the job says that what was handed in is at fault.
        JobError: if it failed in any other way; names its log.
    """
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
    except BaseException:
        engine.stop(job.name)
        raise


def _raise(event: Failed, job: Job) -> NoReturn:
    if event.kind == "input":
        raise InputError(event.problems)
    raise JobError(job, event)
