"""Folder of temporary files of a test session, and the end of all processes that have it in their environment.

Fork servers can be kept for the next test there. They are not: three files of tests took 50 s without and 65 s with
them (two processes on two cores), since each of a session's processes finds, checks and joins servers again and again.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker, util
from pathlib import Path

import psutil
import pytest

from pipelines.engines import fork_server
from pipelines.engines.warm import kept_server, origin
from pipelines.engines.warm.listing import end_kept
from pipelines.engines.warm.settings import SECONDS

FOLDER = "KERASTUDY_TEST_FOLDER"
"""Variable with the folder; each process that a test starts has it, so that one that outlives the session is found."""

_OF_A_TEST = frozenset(["PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"])
_KEPT_S = 0
_is_first = False
_END_S = 60.0  # chosen; on a busy machine a process takes seconds to end


def keep_for_session() -> None:
    """Keep servers in the session's folder, which its first process makes."""
    global _is_first
    if _is_first := FOLDER not in os.environ:
        # Python removes it with this process, when the session's folder is gone.
        util.get_temp_dir()
        # What pytest keeps for a look at it after the session stays where it was.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="tests-")  # short, as a socket's path has to be
        Path(os.environ[FOLDER]).chmod(0o755)  # PostgreSQL runs as another user
    os.environ["TMPDIR"] = tempfile.tempdir = os.environ[FOLDER]
    os.environ[SECONDS] = str(_KEPT_S)
    for module in (origin, kept_server, fork_server):
        # No library reads these either while it is imported, and they differ from test to test.
        module.PER_COMMAND = origin.PER_COMMAND | _OF_A_TEST  # type: ignore[misc]


def make_command_settings() -> dict[str, str]:
    """Return the variables with which a command uses the session's servers; outside of a session it keeps nothing."""
    return {name: os.environ[name] for name in (FOLDER, SECONDS) if name in os.environ} or {SECONDS: "0"}


@contextmanager
def keep_nothing() -> Iterator[None]:
    """Let this process, and the commands that it starts, start each server anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SECONDS, "0")
        patch.setattr(fork_server, "_servers", {})
        yield
        fork_server.stop_servers()


def end_session() -> list[str]:
    """End the servers with the session's first process.

    Returns:
        The command lines of processes that have outlived their tests, which are ended too.
    """
    if not _is_first:
        return []
    kept = os.environ[FOLDER]
    fork_server.stop_servers()
    end_kept()
    resource_tracker._resource_tracker._stop()  # a process of multiprocessing's that would end with this one
    deadline = time.monotonic() + _END_S
    while (left := _list_processes(kept)) and time.monotonic() < deadline:
        time.sleep(0.1)
    lines = [" ".join(process.cmdline()) for process in left]
    for process in left:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    shutil.rmtree(kept, ignore_errors=True)
    return lines


def _list_processes(kept: str) -> list[psutil.Process]:
    """Return the other processes that have a folder in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(FOLDER) == kept and process.pid != os.getpid():
                found.append(process)
    return found
