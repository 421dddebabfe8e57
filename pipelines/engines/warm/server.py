"""Fork server that outlives the command that started it; its body.

`multiprocessing`'s own loop forks the workers and ends once nobody holds the other end of the pipe of its lives: here a
named pipe, which later commands open too. The server holds an end itself until it is over.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from types import FrameType

from pipelines.engines.warm.folder import WarmFolder
from pipelines.engines.warm.lifetime import Lifetime, has_children
from pipelines.engines.warm.origin import describe_file
from pipelines.engines.warm.settings import WarmSettings

_SEARCH_PATH = "pipelines.engines.preload.search_path"


def main(listener: int, alive: int, module: str, parent: str, name: str, settings: tuple[int, int]) -> None:
    """Import a module, then fork processes until the server is over.

    Args:
        listener: descriptor of the socket that takes the requests.
        alive: reading end of the named pipe.
        module: what is imported.
        parent: of the folder of kept processes.
        name: of the server's files.
        settings: fields of `WarmSettings`.
    """
    folder = WarmFolder(Path(parent))
    held_end = _HeldEnd(folder.locate(name, "alive"))
    for each in (_SEARCH_PATH, module):
        with suppress(ImportError):  # the worker states what is missing
            importlib.import_module(each)
    os.chdir("/")
    folder.write_whole(folder.locate(name, "modules"), "\n".join(map(describe_file, list_module_files())))
    _watch(Lifetime(folder, name, WarmSettings(*settings)), held_end)
    try:
        forkserver.main(listener, alive, [])
    finally:
        folder.remove(name)


def list_module_files() -> list[str]:
    """Return the files of the imported modules."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return sorted(file for file in files if isinstance(file, str))


class _HeldEnd:
    """The writing end that the server holds of its named pipe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self.open()

    def open(self) -> None:
        """Hold the end, unless it is held or the pipe is gone."""
        if self._descriptor is None:
            with suppress(OSError):
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)

    def close(self) -> None:
        """Release the end: the loop ends once no command holds one."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _watch(lifetime: Lifetime, held_end: _HeldEnd) -> None:
    """Check by a timer whether the server is over; no thread, since this process forks."""

    def check(number: int, frame: FrameType | None) -> None:
        # An error here would end the loop.
        with suppress(Exception):
            if has_children():
                lifetime.touch()
            (held_end.close if lifetime.is_over() else held_end.open)()

    def leave_to_server() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        held_end.close()

    signal.signal(signal.SIGALRM, check)
    signal.setitimer(signal.ITIMER_REAL, lifetime.check_s, lifetime.check_s)
    os.register_at_fork(after_in_child=leave_to_server)
