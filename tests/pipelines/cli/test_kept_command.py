"""Commands in a process forked from a server with their libraries: their output, their end, and their signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

import psutil
import pytest

from pipelines.cli import kept_command

# Stands for the command line: the real one is imported for a second, and runs a study for several.
PROGRAM = """
import functools, os, signal, sys
from pipelines.cli import command_process, kept_command
from pipelines.engines.fork_server import leave_server
kept_command._MODULE = "pipelines.engines.preload.search_path"
command_process.mark_command_process()
print("before", kept_command.run_forked(), flush=True)
print(kept_command.prepare_next(), flush=True)
kept_command._serve = functools.partial(exec, {body!r}, {{"__name__": "body"}})
print("after", kept_command.run_forked(), flush=True)
"""
# `nohup`, or a shell in the background, may have the tests ignore Ctrl-C.
HEEDING = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
    "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
)
SLEEP = """
import os, sys, threading, time
from pipelines.cli.kept_command import _end_with_command
threading.Thread(target=_end_with_command, daemon=True).start()
print("child", os.getpid(), flush=True)
try:
    while True:  # a signal that comes with SIGCONT may interrupt another thread, not this one's sleep
        time.sleep(0.1)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def start():
    """Return a function that starts a command whose server is left by itself; all ends with the test."""
    folder = tempfile.mkdtemp(prefix="warm-")  # `tmp_path` is too long for a socket
    environ = {**os.environ, "KERASTUDY_WARM_SECONDS": "5", "TMPDIR": folder}
    started = []

    def start(body):
        program = PROGRAM.format(body=body)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen([sys.executable, "-c", HEEDING, program], env=environ, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
    ended = time.monotonic() + 120
    while list_kept(folder) and time.monotonic() < ended:
        time.sleep(0.1)
    assert not list_kept(folder)
    shutil.rmtree(folder)


def list_kept(folder):
    """Return the servers that run in a folder of temporary files."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if folder in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def read_child(process):
    """Return the forked process that has printed its number."""
    for line in process.stdout:
        if line.startswith("child "):
            return psutil.Process(int(line.split()[1]))
    raise AssertionError("the forked process has not started")


def test_the_command_runs_in_the_forked_process(start):
    """Its output and its exit code are the command's; without a server it runs where it was started."""
    process = start("import sys; print('inside', flush=True); sys.exit(3)")
    before, stays, *rest = process.communicate(timeout=300)[0].splitlines()
    assert [before, *rest] == ["before None", "inside", "after 3"]
    assert "KERASTUDY_WARM_SECONDS=0 keeps nothing" in stays, "what stays is stated, with the key"


@pytest.mark.long
def test_signals_reach_the_forked_process(start):
    """Ctrl-C, and a stop by Ctrl-Z with what follows it."""
    process = start(SLEEP)
    child = read_child(process)
    process.send_signal(signal.SIGTSTP)
    wait_until(lambda: child.status() == psutil.STATUS_STOPPED)
    assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: child.status() != psutil.STATUS_STOPPED)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=300)[0] == "after 130\n"


def test_both_processes_end_together(start):
    """Where one is killed, the other ends in the same way."""
    process = start(SLEEP)
    child = read_child(process)
    child.kill()
    assert process.wait(timeout=300) == -signal.SIGKILL
    process = start(SLEEP)
    child = read_child(process)
    process.kill()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_process_that_does_more_runs_its_commands_itself(monkeypatch):
    """A script or a notebook is not forked, whatever is kept."""
    monkeypatch.setattr(kept_command, "join_server", lambda module: pytest.fail("it was forked"))
    assert kept_command.run_forked() is None


def wait_until(holds):
    """Wait until something holds; fail after a while."""
    ended = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < ended
        time.sleep(0.02)
