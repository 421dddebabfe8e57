"""Names of processes in leases, and whether such a process is alive, as far as this one can see."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil


def identify_process() -> str:
    """Return a unique name of this process: `host/pid/start/namespace`."""
    return f"{platform.node()}/{os.getpid()}/{_read_start_time(os.getpid())}/{_read_pid_namespace()}"


def is_alive(owner: str | None) -> bool | None:
    """Return whether the process `owner` runs; None if it cannot be seen from here, or is stopped by a signal."""
    parts = (owner or "").split("/")
    if len(parts) != 4 or (parts[0], parts[3]) != (platform.node(), _read_pid_namespace()) or not parts[1].isdigit():
        return None
    # The system may have given the process id to another process.
    if _read_start_time(int(parts[1])) != parts[2]:
        return False
    try:
        state = psutil.Process(int(parts[1])).status()
    except psutil.NoSuchProcess:
        return False
    if state == psutil.STATUS_ZOMBIE:
        return False
    # A stopped process may wake up and write, so it is neither alive nor dead.
    return None if state in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP) else True


def find_host(owner: str | None) -> str:
    """Return the host of a process; empty where its name has none."""
    parts = (owner or "").split("/")
    return parts[0] if len(parts) == 4 else ""


def describe_owner(owner: str | None) -> str:
    """Return a process in words."""
    parts = (owner or "").split("/")
    return f"process {parts[1]} on {parts[0]}" if len(parts) == 4 else str(owner)


def _read_start_time(pid: int) -> str:
    """Return the exact start of a process, in the system's unit; empty if there is no such process."""
    try:
        # Clock ticks since boot do not change with the wall clock.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        # Systems without /proc.
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return ""


def _read_pid_namespace() -> str:
    """Return the id of the process namespace: containers may share a host name, but not their process ids."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "0"
