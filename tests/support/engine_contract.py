"""Contract suite of engines: every way a job can end, distinguished and reported to the supervisor.

A test module of an engine has a module-wide fixture `engine` with two workers, a fixture `backend` with both backends
as its parameters, and a class that inherits the suite.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.engines.base import Failed, Finished, Job, JobFunction, Reported, Requested
from pipelines.engines.run_job import JobError, run_job
from search_spaces.errors import InputError, Problem

FOLDER = str(Path(__file__).parents[1] / "pipelines" / "engines")
"""The folder of `jobs_for_tests`."""


def job(function, tmp_path, backend="tensorflow", payload=None, **limits):
    """Return a job that calls a function of `jobs_for_tests`."""
    log = tmp_path / "log" / f"{function}.log"
    return Job(function, JobFunction(f"jobs_for_tests:{function}"), payload, log, **limits, backend=backend)


def end_of(engine, name, within_s=120.0):
    """Return the last event of a job, and drop every other event."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        for event in engine.events(0.5):
            if event.job == name and isinstance(event, Finished | Failed):
                return event
    raise AssertionError(f"{name} did not end within {within_s} s")


class EngineContract:
    """Rules for every engine."""

    def test_a_job_reports_requests_and_returns(self, engine, tmp_path, backend):
        """Messages of a job arrive in order, and an answer reaches the job that sent the request."""
        engine.submit(job("echo", tmp_path, backend, payload={"n": 1}))
        events = []
        while not (events and isinstance(events[-1], Finished | Failed)):
            for event in engine.events(1.0):
                events.append(event)
                if isinstance(event, Requested):
                    engine.answer(event.job, "this one")
        assert events == [Reported("echo", {"n": 1}), Requested("echo", "which?"), Finished("echo", "this one")]
        lines = (tmp_path / "log" / "echo.log").read_text().splitlines()
        assert sorted(lines) == ["printed by the job", "written below Python"]

    @pytest.mark.parametrize(
        ("function", "limits", "kind", "reason"),
        [
            ("killed", {}, "died", "killed by SIGKILL; most likely the system was out of memory"),
            ("segfault", {}, "died", "killed by SIGSEGV"),
            ("exits", {}, "died", "exited with status 7"),
            ("hang", {"stall_s": 1.0}, "stall", "no progress for 1 s"),
            ("busy", {"time_s": 1.0}, "time", "over its time limit of 1 s"),
            ("allocate", {"memory_bytes": 2 * 10**9}, "memory", "Unable to allocate"),
            ("grow", {"memory_bytes": 1_500_000_000}, "memory", ""),
            ("fails", {}, "error", "ValueError: first line"),
            ("quits", {}, "error", "SystemExit: 3"),
            ("finds_no_room", {}, "disk", "OSError: [Errno 28] No space left on device"),
            ("finds_no_room_in_hdf5", {}, "disk", "No space left on device"),
        ],
    )
    def test_each_bad_end_is_named(self, engine, tmp_path, backend, function, limits, kind, reason):
        """A failure costs that job alone and has a kind and one line of reason."""
        engine.submit(job(function, tmp_path, backend, **limits))
        end = end_of(engine, function)
        assert isinstance(end, Failed)
        assert end.kind == kind
        assert reason in end.reason
        assert "\n" not in end.reason
        assert engine.idle == engine.workers == 2

    def test_a_mapped_file_takes_up_no_memory(self, engine, tmp_path):
        """Rows that are mapped from a file can be dropped at any time, so a limit of memory leaves them out."""
        with (tmp_path / "rows").open("wb") as file:
            file.truncate(2 * 10**9)
        engine.submit(replace(job("map_file", tmp_path, memory_bytes=1_500_000_000), payload=str(tmp_path / "rows")))
        assert end_of(engine, "map_file") == Finished("map_file", 0)

    def test_the_reason_of_our_errors_is_their_message(self, engine, tmp_path):
        """The reason of an error made for people is its message, without the name of a class."""
        engine.submit(job("fails_with_message", tmp_path))
        assert end_of(engine, "fails_with_message").reason == "loss became nan in epoch 1"

    def test_a_job_that_beats_does_not_stall(self, engine, tmp_path, backend):
        """Silence is counted from the last sign of life, not from the start."""
        engine.submit(job("slow_but_alive", tmp_path, backend, stall_s=3.0))
        assert end_of(engine, "slow_but_alive") == Finished("slow_but_alive", "done")

    def test_problems_of_the_input_keep_their_form(self, engine, tmp_path):
        """An InputError of a worker is the same InputError here."""
        with pytest.raises(InputError) as raised:
            run_job(engine, job("refuses", tmp_path))
        assert raised.value.problems == (Problem("no such column", "data.target"),)

    def test_run_alone_names_the_log_of_a_failed_job(self, engine, tmp_path):
        """A job that fails by itself raises, and names its log; the traceback is in that file."""
        with pytest.raises(JobError, match=r"fails failed: ValueError: first line.*fails\.log"):
            run_job(engine, job("fails", tmp_path))
        assert "second line" in (tmp_path / "log" / "fails.log").read_text()

    def test_a_stopped_job_ends_as_stopped(self, engine, tmp_path, backend):
        """Stopping ends the job at once."""
        engine.submit(job("hang", tmp_path, backend))
        engine.stop("hang")
        end = end_of(engine, "hang")
        assert isinstance(end, Failed)
        assert end.kind == "stopped"

    def test_a_fresh_job_has_its_worker_for_itself(self, engine, tmp_path):
        """What must run in a fresh process finds nothing of other jobs, and leaves nothing to the next one."""
        before = run_job(engine, job("report_process", tmp_path))
        fresh = [run_job(engine, job("report_process", tmp_path, fresh=True)) for _ in range(2)]
        assert len({before, *fresh}) == 3
        assert run_job(engine, job("report_process", tmp_path)) == before

    def test_a_job_aside_takes_no_place(self, engine, tmp_path):
        """It runs in a worker of its own at a low priority, and as many jobs as before can be submitted."""
        before = run_job(engine, job("report_process", tmp_path))
        idle = engine.idle
        engine.submit(job("report_process", tmp_path, aside=True))
        assert engine.idle == idle
        assert engine.busy == ("report_process",)
        ended = end_of(engine, "report_process")
        assert isinstance(ended, Finished)
        assert run_job(engine, job("report_process", tmp_path)) == before != ended.result

    def test_a_worker_that_ran_out_of_memory_is_replaced(self, engine, tmp_path):
        """What a job has left in it would be in the way of the next attempt."""
        before = run_job(engine, job("report_process", tmp_path))
        with pytest.raises(JobError, match="MemoryError"):
            run_job(engine, job("runs_out_of_memory", tmp_path))
        assert {run_job(engine, job("report_process", tmp_path)) for _ in range(2)} & {before} == set()

    def test_a_worker_has_the_backend_of_its_job(self, engine, tmp_path):
        """Keras has one backend in a process: workers of both stay warm, and one for JAX has no TensorFlow.

        A worker for work without Keras has neither, nor any other library that takes long to load.
        """
        engine.warm("jax")
        with_tensorflow = run_job(engine, job("report_process", tmp_path))
        modules, backend = run_job(engine, job("list_loaded", tmp_path, "jax"))
        assert (modules, backend) == (["jax", "keras", "keras_tuner"], "jax")
        assert run_job(engine, job("list_loaded", tmp_path)) == (["keras", "keras_tuner", "tensorflow"], "tensorflow")
        assert run_job(engine, job("list_modules", tmp_path, "none")) == ["numpy", "pandas"]
        assert run_job(engine, job("list_loaded", tmp_path, "numpy")) == (["keras", "keras_tuner"], "numpy")
        assert run_job(engine, job("report_process", tmp_path)) == with_tensorflow

    def test_jobs_of_all_backends_count_together(self, engine, tmp_path):
        """`workers` is the number of jobs at once, whatever they run on."""
        engine.submit(job("hang", tmp_path, "jax"))
        assert engine.idle == 1
        engine.submit(job("busy", tmp_path))
        assert engine.idle == 0
        for name in ("hang", "busy"):
            engine.stop(name)
            assert end_of(engine, name).kind == "stopped"
        assert engine.idle == engine.workers == 2

    def test_a_stopped_job_leaves_its_name(self, engine, tmp_path):
        """A job may be submitted under the name of a stopped one, and takes no event of it."""
        engine.submit(job("echo", tmp_path, payload=1))
        while not any(isinstance(event, Requested) for event in engine.events(1.0)):
            pass
        engine.stop("echo")
        assert engine.busy == ()
        assert end_of(engine, "echo").kind == "stopped"
        engine.submit(job("echo", tmp_path, payload=2))
        events = []
        while not events or not isinstance(events[-1], Requested):
            events += engine.events(1.0)
        engine.answer("echo", "second")
        assert events == [Reported("echo", 2), Requested("echo", "which?")]
        assert end_of(engine, "echo") == Finished("echo", "second")

    def test_what_has_ended_takes_no_orders(self, engine):
        """Answers to jobs that have ended, and stops of them, do nothing."""
        engine.answer("unknown", "anything")
        engine.stop("unknown")
        assert list(engine.events(0.1)) == []

    def test_a_worker_has_memory(self, engine):
        """A study without a limit gives each worker a share of the machine's memory."""
        assert 10**8 < engine.worker_memory_bytes < 10**13

    def test_a_job_may_read_a_copy_of_its_data(self, engine, tmp_path):
        """A job finds its read-only folder, wherever its engine has put a copy."""
        (tmp_path / "data" / "below").mkdir(parents=True)
        (tmp_path / "data" / "below" / "rows.txt").write_text("1,2,3")
        given = replace(job("read_data", tmp_path, payload=tmp_path / "data"), data=tmp_path / "data")
        text, _ = run_job(engine, given)
        assert text == "1,2,3"
