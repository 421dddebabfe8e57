"""Processes of a test session: all have its folder of temporary files in their environment, and none may outlive it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from multiprocessing import resource_tracker, util
from pathlib import Path

import psutil
from process_tree import read_command_line

from pipelines.engines import fork_server
from pipelines.engines.warm.settings import SECONDS
from pipelines.workspace.home import PROGRAMS

FOLDER = "KERASTUDY_TEST_FOLDER"
"""Variable with the folder; each process that a test starts has it, so that one that outlives the session is found."""

_is_first = False
_END_S = 60.0  # chosen; on a busy machine a process takes seconds to end


def begin_session() -> None:
    """Put temporary files and compiled programs into the session's folder, which its first process makes.

    Nothing else is kept for later commands.
    """
    global _is_first
    if _is_first := FOLDER not in os.environ:
        # Python removes it with this process, when the session's folder is gone.
        util.get_temp_dir()
        # What pytest keeps for a look at it after the session stays where it was.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="tests-")  # short, as a socket's path has to be
        Path(os.environ[FOLDER]).chmod(0o755)  # PostgreSQL runs as another user
    os.environ["TMPDIR"] = tempfile.tempdir = os.environ[FOLDER]
    os.environ[SECONDS] = "0"
    os.environ[PROGRAMS] = f"{os.environ[FOLDER]}/programs"


def make_command_settings() -> dict[str, str]:
    """Return the variables of a command: it belongs to the session, if there is one, and keeps nothing else."""
    return {name: os.environ[name] for name in (FOLDER, PROGRAMS) if name in os.environ} | {SECONDS: "0"}


def end_session() -> list[str]:
    """End what belongs to the session with its first process.

    Returns:
        The command lines of processes that have outlived their tests, which are ended too.
    """
    if not _is_first:
        return []
    folder = os.environ[FOLDER]
    fork_server.stop_servers()
    resource_tracker._resource_tracker._stop()  # a process of multiprocessing's that would end with this one
    deadline = time.monotonic() + _END_S
    while (left := _list_processes(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    lines = [" ".join(read_command_line(process)) for process in left]
    for process in left:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    return lines


def _list_processes(folder: str) -> list[psutil.Process]:
    """Return the other processes that have a folder in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(FOLDER) == folder and process.pid != os.getpid():
                found.append(process)
    return found
