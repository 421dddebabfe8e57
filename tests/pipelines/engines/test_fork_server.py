"""Workers from fork servers, where a server is lost."""

from __future__ import annotations

import multiprocessing
import sys
import time
from types import ModuleType

import psutil
import pytest

from pipelines.engines import fork_server
from pipelines.engines.base import Finished, Job, JobFunction
from pipelines.engines.fork_server import ForkedProcess
from pipelines.engines.local_engine import LocalEngine


def test_a_fork_server_that_is_killed_costs_nothing(tmp_path, monkeypatch):
    """A server that dies while it forks a worker is started again."""
    start, started = ForkedProcess.start, []

    def killed_twice(process):
        started.append(process)
        if len(started) <= 2:
            raise EOFError
        start(process)

    monkeypatch.setattr(ForkedProcess, "start", killed_twice)
    engine = LocalEngine(1)
    try:
        engine.submit(Job("it", JobFunction("operator:is_"), 1, tmp_path / "it.log"))
        events = []
        while not events:
            events = engine.events(0.5)
        assert isinstance(events[0], Finished)
    finally:
        engine.close()
    assert len(started) == 3


def test_a_worker_leaves_the_main_script_alone(tmp_path, monkeypatch):
    """A script without a `__main__` guard is not run again in its workers."""
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit('run again')\n")
    main = ModuleType("__main__")
    main.__file__ = str(script)
    main.__spec__ = None
    monkeypatch.setitem(sys.modules, "__main__", main)
    engine = LocalEngine(1)
    try:
        engine.submit(Job("it", JobFunction("operator:is_"), 1, tmp_path / "it.log"))
        events = []
        while not events:
            events = engine.events(0.5)
        assert isinstance(events[0], Finished)
    finally:
        engine.close()


def test_a_worker_collects_its_garbage_and_leaves_what_was_imported(tmp_path, monkeypatch):
    """Its server does not: looking for garbage would take a sixth of the time of its imports."""
    code = "import gc\n\ndef look(payload, channel):\n    return gc.isenabled(), gc.get_freeze_count()\n"
    (tmp_path / "of_collector.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    engine = LocalEngine(1)
    try:
        engine.submit(Job("it", JobFunction("of_collector:look"), None, tmp_path / "it.log", backend="none"))
        events = []
        while not events:
            events = engine.events(0.5)
        is_enabled, frozen = events[0].result
    finally:
        engine.close()
    assert is_enabled
    assert frozen > 10_000


@pytest.mark.filterwarnings("ignore:This process")  # the name of Python's warning at each fork beside threads
def test_a_server_ends_although_a_forked_process_holds_its_pipe(monkeypatch):
    """A library that forks this process, and whose child stays, blocks nobody for ever."""
    monkeypatch.setattr(fork_server, "_END_S", 0.2)
    fork_server.start_server("pipelines.engines.preload.search_path")
    server = fork_server._servers["pipelines.engines.preload.search_path"]._forkserver_pid
    holder = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    holder.start()
    try:
        fork_server.stop_servers()
        assert holder.is_alive()
        assert not psutil.pid_exists(server)
    finally:
        holder.kill()
        holder.join()
