"""A worker on a node: whatever a caller repeats because an answer was lost happens once."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from engine_contract import FOLDER, job

from pipelines.engines import fork_server, node_worker
from pipelines.engines.base import Failed, Finished, Requested
from pipelines.engines.node_worker import NodeWorker
from pipelines.engines.ray_messages import NodeSettings
from pipelines.engines.warm.settings import SECONDS

VARIABLE = "KERASTUDY_FOR_TESTS"


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    search_path = (*sys.path, FOLDER)
    return NodeSettings(version("kerastudy"), home, Path.cwd(), search_path, 1, 0.0, None, False, ((VARIABLE, "1"),))


@pytest.fixture(scope="module")
def worker(settings):
    before = list(sys.path)
    with pytest.MonkeyPatch.context() as patch:
        # An actor's process has no servers yet; one of an earlier test has no variables of the supervisor.
        patch.setattr(fork_server, "_servers", {})
        worker = NodeWorker(settings)
        yield worker
        worker.close()
        fork_server.stop_servers()
    sys.path[:] = before
    del os.environ[VARIABLE]


def poll_until(worker, seen, kind):
    """Poll to an event of a kind; return the numbered events since `seen`."""
    events = []
    while not any(isinstance(event, kind) for _, event in events):
        events += worker.poll(events[-1][0] if events else seen)
    return events


def test_calls_may_be_repeated(worker, tmp_path):
    """A job that is submitted twice runs once, and an answer that is sent twice answers one request."""
    work = job("ask_often", tmp_path, payload=2)
    worker.submit(work)
    worker.submit(work)
    [(first, _)] = poll_until(worker, 0, Requested)
    worker.answer(work.name, first, "a")
    worker.answer(work.name, first, "a")
    (second, event) = poll_until(worker, first, Requested)[-1]
    assert event == Requested("ask_often", 1)
    worker.answer(work.name, second, "b")
    last, event = poll_until(worker, second, Finished)[-1]
    assert event == Finished("ask_often", ["a", "b"])
    worker.submit(work)  # late, and lost on the way until now
    worker.submit(replace(work, name="echo", function=job("echo", tmp_path).function))
    assert {event.job for _, event in poll_until(worker, last, Requested)} == {"echo"}
    worker.stop("echo")
    poll_until(worker, last, Failed)


def test_a_worker_that_nobody_polls_ends_its_jobs(settings, tmp_path, monkeypatch):
    """Its supervisor has lost the cluster, and the trial goes on elsewhere: it must not be trained here too."""
    ended = threading.Event()

    def end(status):
        ended.set()
        threading.Event().wait()  # as `os._exit`, it does not return

    monkeypatch.setattr(node_worker.os, "_exit", end)
    before = list(sys.path)
    worker = NodeWorker(settings)
    try:
        worker.submit(job("echo", tmp_path))
        poll_until(worker, 0, Requested)  # it waits for an answer
        assert not ended.is_set()
        monkeypatch.setattr(node_worker, "UNPOLLED_S", 0.0)
        assert ended.wait(300)
        assert worker._engine.busy == ()
    finally:
        sys.path[:] = before


def test_events_are_kept_until_they_were_seen(worker, tmp_path):
    """A poll whose answer was lost is repeated with the same number, and finds the same events."""
    seen = worker._count
    worker.submit(replace(job("fails", tmp_path), name="kept"))
    events = poll_until(worker, seen, Failed)
    assert worker.poll(seen) == worker.poll(seen) == events
    assert worker.poll(events[-1][0] - 1) == events[-1:]


def test_a_stop_may_overtake_its_job(worker, tmp_path):
    """The job does not start, and ends as stopped."""
    seen = worker._count
    worker.stop("late")
    worker.submit(replace(job("hang", tmp_path), name="late"))
    assert [event for _, event in poll_until(worker, seen, Failed)] == [Failed("late", "stopped", "stopped on request")]


def test_a_job_that_cannot_start_fails(worker, tmp_path):
    """The worker goes on, whatever kept a job from its process."""
    seen = worker._count
    worker.submit(replace(job("echo", tmp_path, payload=lambda: None), name="unpicklable"))
    [(_, event)] = poll_until(worker, seen, Failed)
    assert (event.job, event.kind) == ("unpicklable", "error")
    worker.submit(replace(job("fails", tmp_path), name="next"))
    assert poll_until(worker, worker._count, Failed)[-1][1].job == "next"


def test_a_backend_that_is_missing_fails_its_job(worker, tmp_path, monkeypatch):
    """Preparing for it does nothing, and the worker goes on with jobs of the other one."""
    seen = worker._count
    with monkeypatch.context() as without:
        without.setattr("importlib.util.find_spec", lambda name: None)
        worker.warm("jax")
        worker.submit(replace(job("fails", tmp_path, "jax"), name="on-jax"))
        [(last, event)] = poll_until(worker, seen, Failed)
    assert "jax is not installed" in event.reason
    worker.submit(replace(job("fails", tmp_path), name="on-tensorflow"))
    assert poll_until(worker, last, Failed)[-1][1].reason.startswith("ValueError: first line")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"version": "0.0.1"}, "and 0.0.1 here: install the same version"),
        ({"home": Path("/nowhere")}, "the home /nowhere cannot be seen there"),
    ],
)
def test_a_machine_of_no_use_is_described(settings, changes, problem):
    """It starts no process."""
    described = NodeWorker(replace(settings, **changes)).describe()
    assert problem in described.problem


def test_jobs_have_the_supervisors_variables(worker, tmp_path):
    """What the supervisor sends is in the environment of a job, such as that it works for a service."""
    worker.submit(job("show_variable", tmp_path, payload=VARIABLE))
    events = [event for _, event in poll_until(worker, worker._count, Finished)]
    assert Finished("show_variable", "1") in events


@pytest.mark.parametrize(("given", "kept_s"), [(None, "10"), ("600", "10"), ("0", "0")])
def test_workers_of_a_machine_share_their_servers(monkeypatch, given, kept_s):
    """What they fork from outlives each of them for seconds, not for a command's minutes; nothing where off."""
    monkeypatch.delenv(SECONDS, raising=False)
    if given is not None:
        monkeypatch.setenv(SECONDS, given)
    assert node_worker._choose_kept_s() == kept_s
