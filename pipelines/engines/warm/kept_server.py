"""Use of a kept fork server: the running one of this process's origin, or a new one."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import psutil

from pipelines.engines.search_path import SAFE_PATH
from pipelines.engines.warm.folder import KeptRecord, WarmFolder
from pipelines.engines.warm.origin import describe_file, get_interpreter_flags, read_origin, select_shared
from pipelines.engines.warm.settings import WarmSettings

# No child of this process, which may end with all its children, as Ray's workers do, while others use the server;
# and in a session of its own, so that it outlives the terminal, and the group that a shell ends.
_DETACH = (
    "import os; child = os.fork(); child and (os.write(1, b'%d' % child), os._exit(0)); os.setsid(); os.dup2(2, 1); "
)
# As a supervisor is started: `kerastudy` first loads our packages whatever the user's folders hold.
_PROGRAM = _DETACH + "import kerastudy, pipelines.engines.warm.server as it; it.main({}, {}, {!r}, {!r}, {!r}, {!r})"


class KeptServer(forkserver.ForkServer):
    """A fork server that other commands of this origin use too.

    Args:
        module: what it has imported.
        environ: environment that it has, but for the variables of a command.

    Raises:
        OSError: if the system does not show what this process's origin is.
    """

    _forkserver_alive_fd: int | None  # multiprocessing's: a writing end of the named pipe

    def __init__(self, module: str, environ: Mapping[str, str], settings: WarmSettings) -> None:
        super().__init__()
        self._module = module
        self._environ = dict(environ)
        self._settings = settings
        self._origin = read_origin(environ)
        self._key = self._origin.make_key(module)

    def join(self) -> bool:
        """Join the running server; return whether there is one.

        Raises:
            OSError: if there can be none.
        """
        return self._open(may_start=False)

    def ensure_running(self) -> None:
        """Join the server or start it, unless that is done.

        Raises:
            OSError: if it cannot be started, or its socket's path is too long.
        """
        self._open(may_start=True)

    def _open(self, *, may_start: bool) -> bool:
        with self._lock:  # type: ignore[attr-defined]  # typeshed leaves it out
            resource_tracker.ensure_running()
            if self._forkserver_alive_fd is not None:
                return True
            folder = WarmFolder()
            with folder.lock():
                self._retire_outdated(folder)
                found = self._join(folder)
                if found is None and not may_start:
                    return False
                name, self._forkserver_alive_fd = found or self._start(folder)
            self._forkserver_address = str(folder.locate(name, "socket"))
            return True

    def release(self) -> None:
        """Release the server: it ends some time after the last command that uses it."""
        with self._lock:  # type: ignore[attr-defined]
            if self._forkserver_alive_fd is not None:
                os.close(self._forkserver_alive_fd)
                self._forkserver_alive_fd = None

    def _retire_outdated(self, folder: WarmFolder) -> None:
        """End the processes whose files have changed: no command can use them."""
        for record in folder.read():
            if record.python == self._origin.python and record.files != self._origin.files:
                folder.retire(record)

    def _join(self, folder: WarmFolder) -> tuple[str, int] | None:
        """Return the name of the running server, and a writing end of its pipe; None where there is none."""
        for record in folder.read():
            if record.key != self._key or record.is_stopped:
                continue
            if not _is_current(folder.locate(record.name, "modules")):
                folder.retire(record)
                continue
            with suppress(OSError):  # nobody reads the pipe any more
                alive = os.open(folder.locate(record.name, "alive"), os.O_WRONLY | os.O_NONBLOCK)
                folder.touch(record.name)
                return record.name, alive
        return None

    def _start(self, folder: WarmFolder) -> tuple[str, int]:
        """Start the server; return its name, and a writing end of its pipe."""
        name = secrets.token_hex(8)  # short, as a socket's path has to be
        path = folder.locate(name, "alive")
        os.mkfifo(path, 0o600)
        alive = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        ours = os.open(path, os.O_WRONLY)
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(folder.locate(name, "socket")))
                listener.listen()
                process = self._spawn(folder, name, listener.fileno(), alive)
            started = psutil.Process(process).create_time()
            code = (self._origin.python, self._origin.files)
            folder.write(KeptRecord(name, self._key, process, started, "server", self._module, *code))
        except BaseException:
            os.close(ours)
            folder.remove(name)
            raise
        finally:
            os.close(alive)
        return name, ours

    def _spawn(self, folder: WarmFolder, name: str, listener: int, alive: int) -> int:
        settings = (self._settings.kept_s, self._settings.memory_bytes)
        program = _PROGRAM.format(listener, alive, self._module, str(folder.path.parent), name, settings)
        started = subprocess.run(
            [sys.executable, *get_interpreter_flags(), "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_make_environment(self._environ),
            pass_fds=(listener, alive),
            check=False,
        )
        if not started.stdout.isdigit():
            raise OSError(f"Python ended with status {started.returncode} instead of starting the server")
        return int(started.stdout)


def _make_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {**select_shared(environ), SAFE_PATH: "1"}


def _is_current(modules: Path) -> bool:
    """Return whether the files of a server's modules are as it has read them; those of one that still reads are."""
    try:
        known = modules.read_text().splitlines()
    except OSError:
        return True
    return all(describe_file(line.rsplit(":", 3)[0]) == line for line in known)
