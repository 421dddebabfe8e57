"""Processes forked from a server that has imported a module already: one server for each module.

`multiprocessing` keeps one fork server for the whole process, but Keras has one backend in each process, so TensorFlow
and JAX need a server each. Python 3.14 changes `_launch`: revise it before supporting that version.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, popen_forkserver, reduction, spawn, util
from multiprocessing.context import ForkServerProcess, set_spawning_popen
from typing import Any

from pipelines.engines.search_path import SAFE_PATH, order_search_path

# Of every server, in this order. `kerastudy` loads our packages, whatever the user's folders hold.
_FIRST_MODULES = ("kerastudy", "pipelines.engines.preload.search_path")
_servers: dict[str, forkserver.ForkServer] = {}
_lock = threading.Lock()


def start_server(module: str) -> None:
    """Start the server that imports a module, unless it runs already; return at once."""
    with _lock:  # a service runs engines in several threads
        if module not in _servers:
            _servers[module] = forkserver.ForkServer()
            _servers[module].set_forkserver_preload([*_FIRST_MODULES, module])
        with _use_safe_path():
            _servers[module].ensure_running()


def stop_servers() -> None:
    """Stop every server and free its memory, a few hundred MB each; the next process starts its server again.

    Call it only while no forked process runs: a server ends after the last of them.
    """
    with _lock:
        for server in _servers.values():
            server._stop()  # type: ignore[attr-defined]  # typeshed leaves it out


class ForkedProcess(ForkServerProcess):
    """A daemon process forked from the server that has loaded `module`."""

    def __init__(self, module: str, target: Callable[..., None], args: tuple[Any, ...]) -> None:
        super().__init__(target=target, args=args, daemon=True)
        self.module = module

    @staticmethod
    def _Popen(process_obj: Any) -> _Popen:  # noqa: N802  # multiprocessing's name
        return _Popen(process_obj)


class _Popen(popen_forkserver.Popen):
    """The standard `Popen` with the server of the process's module."""

    def _launch(self, process_obj: Any) -> None:
        start_server(process_obj.module)
        content = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(_describe_parent(process_obj.name), content)
            reduction.dump(process_obj, content)
        finally:
            set_spawning_popen(None)
        self.sentinel, to_child = _servers[process_obj.module].connect_to_new_process(
            self._fds  # type: ignore[attr-defined]  # typeshed leaves it out
        )
        # The child watches the other end, which closes when this process ends for any reason.
        watched = os.dup(to_child)
        self.finalizer = util.Finalize(self, _close, (watched, self.sentinel))
        with open(to_child, "wb", closefd=True) as pipe:  # noqa: PTH123  # a file descriptor
            pipe.write(content.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


@contextmanager
def _use_safe_path() -> Iterator[None]:
    """Keep the current folder out of the search path of the Python that this block starts."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


def _describe_parent(name: str) -> dict[str, Any]:
    """Return what the child takes over from this process, the user's folders last, without its main module.

    Importing that would run a script without `__main__` guard once more in each worker; no job needs it, since code of
    a script or a notebook comes in a pickle.
    """
    whole = spawn.get_preparation_data(name)
    whole["sys_path"] = order_search_path(whole["sys_path"])
    return {key: value for key, value in whole.items() if not key.startswith("init_main_")}


def _close(*descriptors: int) -> None:
    for each in descriptors:
        os.close(each)
