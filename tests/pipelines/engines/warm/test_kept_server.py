"""Fork servers kept for the next command: who uses them, and when they end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from types import SimpleNamespace

import psutil
import pytest

from pipelines.engines import fork_server
from pipelines.engines.fork_server import ForkedProcess
from pipelines.engines.warm import kept_server, lifetime
from pipelines.engines.warm.folder import WarmFolder
from pipelines.engines.warm.listing import end_kept, list_kept
from pipelines.engines.warm.settings import MEGABYTES, SECONDS, read_warm_settings
from search_spaces.errors import InputError

MODULE = "pipelines.engines.preload.search_path"  # imported in a moment
REPORT = """
import os, pathlib
pathlib.Path({file!r}).write_text(f"{{os.getppid()}} {{os.environ.get('TERM')}}")
print("printed", flush=True)
"""


@pytest.fixture
def kept(monkeypatch):
    """Servers are kept for long, in a folder of the test, and ended after it."""
    folder = tempfile.mkdtemp(prefix="warm-")  # `tmp_path` is too long for a socket
    monkeypatch.setenv(SECONDS, "600")
    monkeypatch.setattr("pipelines.engines.warm.folder.tempfile", SimpleNamespace(gettempdir=lambda: folder))
    monkeypatch.setattr(fork_server, "_not_kept", set())
    with command():
        yield (opened := WarmFolder())
    for record in opened.read():
        os.kill(record.process, signal.SIGKILL)
    shutil.rmtree(folder)


@contextmanager
def command():
    """The code inside works like a command of its own: it knows no server yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fork_server, "_servers", {})
        yield
        fork_server.stop_servers()


def fork(tmp_path):
    """Return the server that a worker came from, and the worker's TERM."""
    file = tmp_path / "report.txt"
    process = ForkedProcess(MODULE, exec, (REPORT.format(file=str(file)), {}))
    process.start()
    process.join()
    assert process.exitcode == 0
    server, term = file.read_text().split()
    return int(server), term


def wait_for_end(server):
    """Wait until a server has ended; fail after a while."""
    ended = time.monotonic() + 120
    while psutil.pid_exists(server) and psutil.Process(server).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ended
        time.sleep(0.05)


def test_the_next_command_uses_the_server(kept, tmp_path, monkeypatch, capfd):
    """Workers of two commands come from one server; each has its command's output and variables."""
    monkeypatch.setenv("TERM", "one")
    first, term = fork(tmp_path)
    assert term == "one"
    monkeypatch.setenv("TERM", "two")
    with command():
        assert fork(tmp_path) == (first, "two")
    assert capfd.readouterr().out == "printed\nprinted\n"


def test_another_environment_has_another_server(kept, tmp_path, monkeypatch):
    """A variable that a library may read while it is imported, or another umask: a server of its own, beside."""
    first, _ = fork(tmp_path)
    with command():
        monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=nowhere")
        second, _ = fork(tmp_path)
    monkeypatch.delenv("XLA_FLAGS")
    before = os.umask(0o007)
    try:
        with command():
            third, _ = fork(tmp_path)
    finally:
        os.umask(before)
    assert len({first, second, third}) == 3
    assert {record.process for record in kept.read()} == {first, second, third}


def test_a_server_of_changed_files_ends(kept, tmp_path, monkeypatch):
    """What nobody can use any more is not kept: of another state of the code, or with a module that has changed."""
    first, _ = fork(tmp_path)
    fork_server.stop_servers()
    (record,) = kept.read()
    modules = kept.locate(record.name, "modules")
    modules.write_text(modules.read_text().replace(":", ":1", 1))
    with command():
        second, _ = fork(tmp_path)
    assert second != first
    wait_for_end(first)
    monkeypatch.setattr("pipelines.engines.warm.origin._list_our_files", lambda: ["changed"])
    with command():
        third, _ = fork(tmp_path)
    wait_for_end(second)
    assert [record.process for record in kept.read()] == [third]


def test_a_server_ends_after_its_time(kept, tmp_path, monkeypatch):
    """It stays while a command uses it, and ends with its files some time after the last one, killed or not."""
    monkeypatch.setenv(SECONDS, "1")
    program = (
        "import os, signal, sys, time\n"
        "from pipelines.engines import fork_server\n"
        f"fork_server.start_server({MODULE!r})\n"
        f"process = fork_server.ForkedProcess({MODULE!r}, time.sleep, (2,))\n"
        "process.start()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environ = {**os.environ, "TMPDIR": str(kept.path.parent)}
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, timeout=60, env=environ)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGKILL, b"", b"")
    (record,) = kept.read()
    assert os.getsid(record.process) == record.process
    wait_for_end(record.process)
    assert not list(kept.path.glob(f"{record.name}.*"))


def test_a_server_is_no_child_of_its_command(kept, tmp_path):
    """Where all children of the command that started it are ended, as Ray does, others go on with it."""
    server, _ = fork(tmp_path)
    assert server not in [child.pid for child in psutil.Process().children(recursive=True)]


def test_a_killed_server_costs_nothing(kept, tmp_path):
    """Its command goes on with one of its own, and the next command starts one that is kept."""
    first, _ = fork(tmp_path)
    os.kill(first, signal.SIGKILL)
    second, _ = fork(tmp_path)
    with command():
        fork_server._not_kept.clear()
        third, _ = fork(tmp_path)
    assert len({first, second, third}) == 3
    assert [record.process for record in kept.read()] == [third]


def test_a_stopped_server_holds_nobody_up(kept, tmp_path):
    """A command starts a server of its own beside one that a signal has stopped."""
    server, _ = fork(tmp_path)
    os.kill(server, signal.SIGSTOP)
    try:
        with command():
            assert fork(tmp_path)[0] != server
    finally:
        os.kill(server, signal.SIGCONT)


@pytest.mark.parametrize("hindrance", ["others may enter", "no folder", "long path", "full disk"])
def test_without_a_folder_nothing_is_kept(kept, tmp_path, monkeypatch, hindrance, capfd):
    """A folder of somebody else, none at all, a path too long for a socket, a full disk: as if nothing were kept."""
    if hindrance == "full disk":
        monkeypatch.setattr(os, "mkfifo", _raise_full)
    else:
        name = "x" * 120 if hindrance == "long path" else "hindered"
        monkeypatch.setattr("pipelines.engines.warm.folder._FOLDER", name)
        if hindrance == "others may enter":
            (kept.path.parent / name).mkdir(mode=0o755)
        elif hindrance == "no folder":
            (kept.path.parent / name).write_text("")
    server, _ = fork(tmp_path)
    assert server in {child.pid for child in psutil.Process().children()}
    assert not kept.read()
    assert capfd.readouterr() == ("printed\n", "")
    monkeypatch.undo()


def _raise_full(*_):
    raise OSError(28, os.strerror(28))


def test_a_command_of_its_own_where_nothing_is_kept(kept, tmp_path, monkeypatch):
    """0 seconds, or no memory, keeps nothing."""
    for name, value in ((SECONDS, "0"), (MEGABYTES, "0")):
        monkeypatch.setenv(name, value)
        with command():
            fork(tmp_path)
        monkeypatch.setenv(name, "600")
    assert not kept.read()


def test_the_last_used_stay_within_the_memory(kept, tmp_path, monkeypatch):
    """Where kept processes hold more than they may, those that nobody used for longest end."""
    settings = kept_server.WarmSettings(600, 10**10)
    fork(tmp_path)
    with command():
        monkeypatch.setenv("XLA_FLAGS", "other")
        fork(tmp_path)
    newest, oldest = kept.read()
    held = newest.measure_bytes()
    assert 10**6 < held < 10**9
    tight = kept_server.WarmSettings(600, held + 10**6)
    assert not lifetime.Lifetime(kept, oldest.name, settings).is_over()
    assert lifetime.Lifetime(kept, oldest.name, tight).is_over()
    assert not lifetime.Lifetime(kept, newest.name, tight).is_over()


def test_a_clock_that_was_set_back_keeps_nothing(kept, tmp_path):
    """A use in the future counts as none."""
    fork(tmp_path)
    (record,) = kept.read()
    future = time.time() + 86_400
    os.utime(kept.locate(record.name, "record"), (future, future))
    assert lifetime.Lifetime(kept, record.name, kept_server.WarmSettings(600, 10**10)).is_over()


def test_kept_processes_are_listed_and_ended(kept, tmp_path):
    """An idle one ends at once; one that a command uses is left to that command, and no other joins it."""
    first, _ = fork(tmp_path)
    (listed,) = list_kept()
    assert (listed.process, listed.kind, listed.holds) == (first, "server", "search_path")
    assert listed.memory_bytes > 10**6
    assert listed.unused_s < 60
    (used,) = end_kept()
    assert (used.process, used.unused_s < 60) == (first, True)
    assert list_kept() == ()
    assert fork(tmp_path)[0] == first
    with command():
        second, _ = fork(tmp_path)
    assert second != first
    assert end_kept() == ()
    wait_for_end(second)


@pytest.mark.parametrize("variable", [SECONDS, MEGABYTES])
@pytest.mark.parametrize("value", ["ten", "-1", "1.5", "99999999999"])
def test_a_setting_that_is_no_number(variable, value):
    """The message names the variable and what it takes."""
    with pytest.raises(InputError, match=f"{variable}: expected a whole number from 0 to .*; got '{value}'"):
        read_warm_settings({variable: value})
