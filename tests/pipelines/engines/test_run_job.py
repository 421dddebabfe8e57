"""A job that belongs to no trial outlives its worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.engines.base import Asked, Failed, Finished, Job, Reported
from pipelines.engines.fork_server import ForkedProcess
from pipelines.engines.local_engine import LocalEngine
from pipelines.engines.run_job import JobError, Talk, run_alone

JOB = Job("it", "nowhere:it", None, Path("it.log"))


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


def test_a_job_whose_worker_dies_is_begun_again():
    """A lost worker costs two further tries, what is said meanwhile is said once."""
    engine, said = Fails(2, "died"), []
    assert run_alone(engine, JOB, meanwhile=lambda: said.append("once")) == 7
    assert (engine.submitted, said) == (3, ["once"])
    with pytest.raises(JobError, match="lost"):
        run_alone(Fails(3, "died"), JOB)


@pytest.mark.parametrize("kind", ["error", "memory", "stall", "time", "stopped"])
def test_a_job_that_fails_by_itself_is_not(kind):
    """What would fail again is not tried again."""
    engine = Fails(1, kind)
    with pytest.raises(JobError):
        run_alone(engine, JOB)
    assert engine.submitted == 1


def test_a_job_is_talked_to():
    """What it reports is heard and what it asks is answered, in order; a question that nobody expects is a defect."""

    class Asks(Fails):
        def __init__(self):
            super().__init__(0, "error")
            self.said = [Reported("it", 1), Asked("it", 2)]
            self.answers = []

        def events(self, timeout_s):
            return [self.said.pop(0)] if self.said else super().events(timeout_s)

        def answer(self, job, message):
            self.answers.append(message)

    class Listens(Talk):
        def heard(self, message):
            heard.append(message)

        def answer(self, message):
            return message * 10

    engine, heard = Asks(), []
    assert run_alone(engine, JOB, talk=Listens()) == 7
    assert (heard, engine.answers) == ([1], [20])
    with pytest.raises(AssertionError, match="nobody expected the question 2"):
        run_alone(Asks(), JOB)


def test_a_fork_server_that_is_killed_costs_nothing(tmp_path, monkeypatch):
    """A server that goes away while it is asked for a worker is begun anew."""
    start, asked = ForkedProcess.start, []

    def killed_twice(process):
        asked.append(process)
        if len(asked) <= 2:
            raise EOFError
        start(process)

    monkeypatch.setattr(ForkedProcess, "start", killed_twice)
    engine = LocalEngine(1)
    try:
        engine.submit(Job("it", "operator:is_", 1, tmp_path / "it.log"))
        events = []
        while not events:
            events = engine.events(0.5)
        assert isinstance(events[0], Finished)
    finally:
        engine.close()
    assert len(asked) == 3
