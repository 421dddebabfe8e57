"""A job that belongs to no trial survives the loss of its worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.engines.base import Failed, Finished, Job, JobFunction, Reported, Requested
from pipelines.engines.run_job import JobError, Responder, run_job

JOB = Job("it", JobFunction("nowhere:it"), None, Path("it.log"))


class Fails:
    """An engine whose first so many jobs end in the same way."""

    def __init__(self, times, kind):
        self.submitted = 0
        self._times, self._kind = times, kind

    def submit(self, job):
        self.submitted += 1

    def events(self, timeout_s):
        return [Failed("it", self._kind, "lost") if self.submitted <= self._times else Finished("it", 7)]

    def stop(self, job):
        """Nothing is under way."""


def test_a_job_whose_worker_dies_is_started_again():
    """A lost worker costs two further attempts."""
    engine = Fails(2, "died")
    assert (run_job(engine, JOB), engine.submitted) == (7, 3)
    with pytest.raises(JobError, match="lost"):
        run_job(Fails(3, "died"), JOB)


@pytest.mark.parametrize("kind", ["error", "memory", "stall", "time", "stopped"])
def test_a_job_that_fails_by_itself_is_not(kind):
    """A failure that would repeat is not tried again."""
    engine = Fails(1, kind)
    with pytest.raises(JobError):
        run_job(engine, JOB)
    assert engine.submitted == 1


def test_a_responder_receives_reports_and_answers_requests():
    """Reports and requests arrive in order; a request without a responder is a defect."""

    class Sends(Fails):
        def __init__(self):
            super().__init__(0, "error")
            self.messages = [Reported("it", 1), Requested("it", 2)]
            self.answers = []

        def events(self, timeout_s):
            return [self.messages.pop(0)] if self.messages else super().events(timeout_s)

        def answer(self, job, message):
            self.answers.append(message)

    class Recorder(Responder):
        def record(self, message):
            recorded.append(message)

        def answer(self, message):
            return message * 10

    engine, recorded = Sends(), []
    assert run_job(engine, JOB, responder=Recorder()) == 7
    assert (recorded, engine.answers) == ([1], [20])
    with pytest.raises(AssertionError, match="unexpected request 2"):
        run_job(Sends(), JOB)
