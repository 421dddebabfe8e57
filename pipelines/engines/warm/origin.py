"""Origin of a process: everything that it takes over from the process that starts it.

A kept process is used by a command of the same origin only, so that it differs in nothing from one that the command
would have started.
"""

from __future__ import annotations

import hashlib
import os
import resource
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

PER_COMMAND = frozenset(
    [
        "_",
        "COLUMNS",
        "LINES",
        "OLDPWD",
        "PWD",
        "SHLVL",
        "TERM",
        "TERM_PROGRAM",
        "TERM_PROGRAM_VERSION",
        "TERM_SESSION_ID",
        "COLORTERM",
        "WINDOWID",
        "TMUX",
        "TMUX_PANE",
        "STY",
        "SSH_CLIENT",
        "SSH_CONNECTION",
        "SSH_TTY",
        "GPG_TTY",
        "LS_COLORS",
        "ALACRITTY_WINDOW_ID",
        "GNOME_TERMINAL_SCREEN",
        "ITERM_SESSION_ID",
        "JPY_PARENT_PID",
        "JPY_SESSION_NAME",
        "KITTY_WINDOW_ID",
        "KONSOLE_DBUS_SESSION",
        "KONSOLE_DBUS_WINDOW",
        "SHELL_SESSION_ID",
        "SSH_AUTH_SOCK",
        "TILIX_ID",
        "VSCODE_IPC_HOOK_CLI",
        "WEZTERM_PANE",
        "XDG_SESSION_ID",
        "KERASTUDY_HOME",
        "KERASTUDY_STORE",
        "KERASTUDY_URL",
        "KERASTUDY_TOKEN",
        "KERASTUDY_CONFIG",
        "RAY_RAYLET_PID",
    ]
)
"""Variables that no library reads while it is imported. Each worker gets those of its command."""

SET_BY_LIBRARIES = {"KMP_DUPLICATE_LIB_OK": "True", "KMP_INIT_AT_FORK": "FALSE"}
"""Variables that libraries set while a supervisor imports them: before or after it starts a server, as it happens."""

_PACKAGES = ("kerastudy", "pipelines", "search_spaces", "tracking")
_ROOT = Path(__file__).parents[3]
_STATUS = frozenset(
    [
        "Umask",
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "Cpus_allowed",
        "Mems_allowed",
    ]
)
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


@dataclass(frozen=True)
class Origin:
    """What a process is started with, as digests.

    Attributes:
        python: the interpreter, and the folder of kerastudy.
        files: the state of kerastudy's files and of the installed libraries.
        process: its environment, its limits, where it may run, and as whom.
    """

    python: str
    files: str
    process: str

    def make_key(self, *parts: str) -> str:
        """Return the key of a process of this origin; `parts` are what it has loaded or set."""
        return _digest([self.python, self.files, self.process, *parts])


def read_origin(environ: Mapping[str, str]) -> Origin:
    """Return the origin of the processes that this one starts.

    Raises:
        OSError: if the system does not show it.
    """
    files = [*_list_our_files(), *_list_libraries()]
    return Origin(
        _digest([sys.executable, sys.version, *get_interpreter_flags(), str(_ROOT)]),
        _digest(files),
        _digest([*_list_variables(environ), *_list_limits(), *_read_process()]),
    )


def select_per_command(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that differ between commands."""
    return {name: value for name, value in environ.items() if name in PER_COMMAND}


def select_shared(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a kept process has: not those of a command, nor those of libraries."""
    return {
        name: value
        for name, value in environ.items()
        if name not in PER_COMMAND and SET_BY_LIBRARIES.get(name) != value
    }


def get_interpreter_flags() -> list[str]:
    """Return the options of this Python, for another one, which searches no current folder whatever this one does."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing
    # A command that was forked from a server has the option, and the same command without a server has not.
    return [flag for flag in flags if flag != "-P"]


def describe_file(path: str) -> str:
    """Return a file's path and state; the path alone where there is no such file."""
    try:
        state = Path(path).stat()
    except OSError:
        return path
    return f"{path}:{state.st_mtime_ns}:{state.st_size}:{state.st_ino}"


def _list_our_files() -> Iterator[str]:
    for package in _PACKAGES:
        for folder, folders, names in os.walk(_ROOT / package):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            yield from (describe_file(f"{folder}/{name}") for name in sorted(names))


def _list_libraries() -> Iterator[str]:
    """Yield the state of what is installed: each installation changes an entry of these folders."""
    paths = sysconfig.get_paths()
    folders = {paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()}
    for folder in sorted(folders):
        yield describe_file(folder)
        try:
            with os.scandir(folder) as entries:
                yield from sorted(describe_file(entry.path) for entry in entries)
        except OSError:
            continue


def _list_variables(environ: Mapping[str, str]) -> list[str]:
    shared = select_shared(environ)
    # A relative entry means another folder in each.
    if not all(map(os.path.isabs, shared.get("PYTHONPATH", "/").split(os.pathsep))):
        shared["PWD"] = str(Path.cwd())
    return [f"{name}={value}" for name, value in sorted(shared.items())]


def _list_limits() -> list[str]:
    names = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
    return [f"{name}:{resource.getrlimit(getattr(resource, name))}" for name in names]


def _read_process() -> Iterator[str]:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.partition(":")[0] in _STATUS:
            yield line
    yield from (str(Path(f"/proc/self/ns/{name}").readlink()) for name in _NAMESPACES)
    for name in ("cgroup", "oom_score_adj", "attr/current"):
        try:
            yield Path(f"/proc/self/{name}").read_text()
        except OSError:  # no security module
            yield name
    yield f"{os.getpriority(os.PRIO_PROCESS, 0)} {os.sched_getscheduler(0)} {psutil.Process().ionice()}"


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\0".join(lines).encode(errors="surrogateescape")).hexdigest()[:20]
