"""Processes forked from a server that has imported a module already: one server for each module.

`multiprocessing` keeps one fork server for the whole process, but Keras has one backend in each process, so TensorFlow
and JAX need a server each. Servers of preloads are kept for the next command where that can be; see `warm`. Python 3.14
changes `_launch`: revise it before supporting that version.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, popen_forkserver, reduction, spawn, util
from multiprocessing.context import ForkServerProcess, set_spawning_popen
from typing import Any

from pipelines.engines.search_path import SAFE_PATH, order_search_path
from pipelines.engines.warm.kept_server import KeptServer
from pipelines.engines.warm.origin import PER_COMMAND, select_per_command
from pipelines.engines.warm.settings import read_warm_settings

# Of every server, in this order. `kerastudy` loads our packages, whatever the user's folders hold.
_FIRST_MODULES = ("kerastudy", "pipelines.engines.preload.search_path")
_KEPT = ("pipelines.engines.preload.", "pipelines.cli.preload_supervisor")  # what only loads, and starts no threads
_END_S = 10.0  # chosen; without processes of its own a server ends at once
_servers: dict[str, forkserver.ForkServer] = {}
_not_kept: set[str] = set()  # modules whose kept server was lost: the next one is this process's alone
_lock = threading.Lock()
_logger = logging.getLogger(__name__)


def start_server(module: str) -> None:
    """Start the server that imports a module, unless it runs already; return at once.

    Raises:
        InputError: if a variable of `warm.settings` holds no number.
    """
    with _lock:  # a service runs engines in several threads
        if module in _servers:
            with _use_safe_path():
                _servers[module].ensure_running()
            return
        _servers[module] = _open_kept_server(module) or _open_server(module)


def join_server(module: str) -> bool:
    """Join the server that an earlier command has left; return whether there is one."""
    with _lock:
        if module not in _servers and (server := _open_kept_server(module, must_run=True)) is not None:
            _servers[module] = server
        return module in _servers


def leave_server(module: str, environ: Mapping[str, str]) -> bool:
    """Start the server that a later command of an environment may join, unless it runs; return whether one is kept."""
    with _lock:
        if module in _servers:
            return True
        server = _open_kept_server(module, environ)
        if server is not None:
            server.release()
        return server is not None


def stop_servers() -> None:
    """Stop every server and free its memory, a few hundred MB each; the next process starts its server again.

    One that is kept stays for other commands, for its time. Call it only while no forked process runs: a server ends
    after the last of them.
    """
    with _lock:
        for server in _servers.values():
            if isinstance(server, KeptServer):
                server.release()
            else:
                _end_server(server)


def _end_server(server: Any) -> None:
    """End a server; it is killed if it does not end by itself.

    It waits for the end of a pipe that this process holds, and so does every process that a library has forked from
    this one meanwhile.
    """
    if server._forkserver_pid is None:
        return
    late = threading.Timer(_END_S, os.kill, (server._forkserver_pid, signal.SIGKILL))
    late.start()
    try:
        server._stop()
    finally:
        late.cancel()


def _open_server(module: str) -> forkserver.ForkServer:
    """Start the server of this process alone."""
    server = forkserver.ForkServer()
    server.set_forkserver_preload([*_FIRST_MODULES, module])
    with _use_safe_path():
        server.ensure_running()
    return server


def _open_kept_server(
    module: str, environ: Mapping[str, str] = os.environ, *, must_run: bool = False
) -> KeptServer | None:
    """Join or start the server that outlives this process; None where none is kept, or none runs that has to."""
    settings = read_warm_settings(environ)
    if settings is None or not module.startswith(_KEPT) or module in _not_kept:
        return None
    try:
        server = KeptServer(module, environ, settings)
        if must_run and not server.join():
            return None
        server.ensure_running()
    except OSError as error:  # no room for its files, a path too long for a socket, a folder of somebody else
        _logger.debug("the server of %s is not kept: %s", module, error)
        return None
    return server


def _drop_kept_server(module: str) -> bool:
    """Drop a module's server where it was kept; return whether it was."""
    with _lock:
        if not isinstance(server := _servers.get(module), KeptServer):
            return False
        _logger.debug("the kept server of %s was lost", module)
        server.release()
        del _servers[module]
        _not_kept.add(module)
        return True


class ForkedProcess(ForkServerProcess):
    """A process forked from the server that has loaded `module`; a daemon, unless it starts processes itself."""

    def __init__(
        self, module: str, target: Callable[..., None], args: tuple[Any, ...], *, has_children: bool = False
    ) -> None:
        super().__init__(target=target, args=args, daemon=not has_children)
        self.module = module
        self.inherited: Any = None  # what its server cannot have from this process

    def run(self) -> None:
        """Take over this command's output and variables, then call the target."""
        if self.inherited is not None:
            outputs, variables = self.inherited
            for number, output in outputs.items():
                _move_descriptor(output.detach(), number)
            for name in PER_COMMAND - set(variables):
                os.environ.pop(name, None)
            os.environ.update(variables)
        super().run()

    @staticmethod
    def _Popen(process_obj: Any) -> _Popen:  # noqa: N802  # multiprocessing's name
        return _Popen(process_obj)


class _Popen(popen_forkserver.Popen):
    """The standard `Popen` with the server of the process's module."""

    def _launch(self, process_obj: Any) -> None:
        try:
            self._fork(process_obj)
        except (EOFError, OSError):
            if not _drop_kept_server(process_obj.module):
                raise
            self._fds: list[int] = []
            self._fork(process_obj)

    def _fork(self, process_obj: Any) -> None:
        start_server(process_obj.module)
        server = _servers[process_obj.module]
        content = io.BytesIO()
        set_spawning_popen(self)
        try:
            process_obj.inherited = self._describe_inherited() if isinstance(server, KeptServer) else None
            reduction.dump(_describe_parent(process_obj.name), content)
            reduction.dump(process_obj, content)
        finally:
            set_spawning_popen(None)
        self.sentinel, to_child = server.connect_to_new_process(self._fds)
        # The child watches the other end, which closes when this process ends for any reason.
        watched = os.dup(to_child)
        self.finalizer = util.Finalize(self, _close, (watched, self.sentinel))
        with open(to_child, "wb", closefd=True) as pipe:  # noqa: PTH123  # a file descriptor
            pipe.write(content.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)

    def _describe_inherited(self) -> tuple[dict[int, Any], dict[str, str]]:
        """Return this process's output streams and its variables, for a child of a server that has others."""
        outputs = {}
        for number in (1, 2):
            with suppress(OSError):  # closed
                os.fstat(number)
                outputs[number] = self.DupFd(self.duplicate_for_child(number))
        return outputs, select_per_command(os.environ)


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


def _move_descriptor(given: int, number: int) -> None:
    os.dup2(given, number)
    os.close(given)
