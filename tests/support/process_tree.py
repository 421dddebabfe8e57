"""The processes below a supervisor: its fork servers, and the workers that come from them."""

from __future__ import annotations

import psutil


def fork_servers_of(supervisor: int) -> list[psutil.Process]:
    """Return what a supervisor's workers are forked from, as far as it runs."""
    try:
        return [child for child in psutil.Process(supervisor).children() if _is_fork_server(child)]
    except psutil.Error:
        return []


def workers_of(supervisor: int) -> list[psutil.Process]:
    """Return a supervisor's worker processes, as far as they run."""
    found = []
    for server in fork_servers_of(supervisor):
        try:
            found += server.children()
        except psutil.Error:
            continue
    return found


def all_below(process: int) -> set[psutil.Process]:
    """Return every process below one, as far as they run."""
    try:
        return set(psutil.Process(process).children(recursive=True))
    except psutil.Error:
        return set()


def runs(process: psutil.Process) -> bool:
    """Say whether a process runs still; one that ended and was not waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _is_fork_server(process: psutil.Process) -> bool:
    return any("multiprocessing.forkserver" in word for word in process.cmdline())
