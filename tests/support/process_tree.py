"""Processes of a supervisor: its fork servers, and the workers that they fork."""

from __future__ import annotations

import psutil


def find_fork_servers(supervisor: int) -> list[psutil.Process]:
    """Return the running fork servers of a supervisor."""
    try:
        return [child for child in psutil.Process(supervisor).children() if _is_fork_server(child)]
    except psutil.Error:
        return []


def find_workers(supervisor: int) -> list[psutil.Process]:
    """Return the running worker processes of a supervisor."""
    found = []
    for server in find_fork_servers(supervisor):
        try:
            found += server.children()
        except psutil.Error:
            continue
    return found


def find_descendants(process: int) -> set[psutil.Process]:
    """Return all running descendants of a process."""
    try:
        return set(psutil.Process(process).children(recursive=True))
    except psutil.Error:
        return set()


def read_command_line(process: psutil.Process) -> list[str]:
    """Return the words of a command line; none where the process has ended, also if nobody has waited for it yet."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def is_kept_server(process: psutil.Process) -> bool:
    """Return whether a process is a fork server that outlives the one that started it."""
    return any("engines.warm.server" in word for word in read_command_line(process))


def find_named(process: int, name: str) -> set[psutil.Process]:
    """Return the running descendants of a process whose program has a name."""
    return {child for child in find_descendants(process) if _read_name(child) == name}


def is_running(process: psutil.Process) -> bool:
    """Return whether a process still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _read_name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _is_fork_server(process: psutil.Process) -> bool:
    return any("multiprocessing.forkserver" in word for word in read_command_line(process))
