"""Command that runs in a process forked from a server with its libraries, which take a second to load.

The process that was started stays: it passes signals on, and ends as the forked one ends. Where either is
killed, so is the other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from types import FrameType

import psutil

from pipelines.cli.command_process import get_command_environment
from pipelines.engines.fork_server import ForkedProcess, join_server, leave_server
from pipelines.engines.warm.settings import SECONDS, read_warm_settings

_MODULE = "pipelines.cli.preload_supervisor"
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def run_forked() -> int | None:
    """Run this process's command in a forked one and return its exit code; None where no server was left for it.

    A process that runs more than a command, or has been forked itself, is left to run it.
    """
    if get_command_environment() is None or not join_server(_MODULE):
        return None
    process = ForkedProcess(_MODULE, _serve, (), has_children=True)
    with _pass_signals_on(process):
        process.start()
        process.join()
    code = process.exitcode or 0
    if code < 0:  # a shell sees the same end
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def prepare_next() -> str:
    """Leave a server for the next command, unless one runs; return at once, with a line on what stays.

    The line is empty where nothing stays, and where the command itself was forked: the first one had it.
    """
    environ = get_command_environment()
    if environ is None or not leave_server(_MODULE, environ):
        return ""
    # Here, since a process that only waits for a forked one has no use for it.
    from pipelines.supervisor.event_text import format_duration

    settings = read_warm_settings(environ)
    kept = format_duration(settings.kept_s) if settings else ""
    return (
        f"kept {kept} for the next command: what this one loaded; `kerastudy warm` lists it, {SECONDS}=0 keeps nothing"
    )


@contextmanager
def _pass_signals_on(process: ForkedProcess) -> Iterator[None]:
    """Pass the signals that end or stop this process on to a process."""

    def send(number: int) -> None:
        if process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def pass_on(number: int, frame: FrameType | None) -> None:
        send(number)

    def stop(number: int, frame: FrameType | None) -> None:
        send(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        send(signal.SIGCONT)  # this process goes on here

    handlers = {**dict.fromkeys(_PASSED_ON, pass_on), signal.SIGTSTP: stop}
    # What the shell ignores for this process, as `nohup` does, stays ignored.
    before = {number: old for number in handlers if (old := signal.getsignal(number)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handlers[number])
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _serve() -> None:
    """Run the command; the body of the forked process."""
    from pipelines.cli import main

    threading.Thread(target=_end_with_command, daemon=True).start()
    # Its streams were made in the server, for no terminal.
    sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())  # type: ignore[union-attr]  # a plain text stream
    main()


def _end_with_command() -> None:
    """Kill this process when the one that was started has ended, as if this were the one that was killed."""
    if (started := multiprocessing.parent_process()) is not None:
        wait([started.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def find_start() -> float:
    """Return when the command was started, in seconds of the system's clock."""
    started = multiprocessing.parent_process()
    return float(psutil.Process(None if started is None else started.pid).create_time())
