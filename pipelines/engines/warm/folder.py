"""Folder of a user's kept processes: their sockets, and a record of each.

Nobody else may enter it: whoever reaches a socket in it can start processes as its owner. A process whose record is
removed ends once it is idle.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

_FOLDER = "kerastudy-warm-{user}"
_LOCK = "lock"
_ANONYMOUS = re.compile(r"^Pss_Anon:\s+(\d+) kB", re.MULTILINE)
_WAKE = signal.SIGALRM  # of the timer by which a kept process looks at its record


@dataclass(frozen=True)
class KeptRecord:
    """Record of a kept process.

    Attributes:
        name: of its files; no other process ever has it.
        key: equal for processes that can take each other's place.
        process: its id.
        started: when the system started it, so that another process of that id is not taken for it.
        kind: what it is.
        module: what it has imported.
        python, files: of its origin.
    """

    name: str
    key: str
    process: int
    started: float
    kind: Literal["server", "worker"]
    module: str
    python: str
    files: str

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        try:
            process = psutil.Process(self.process)
            # One that has ended stays in the system's table until its parent has taken its exit code.
            return bool(process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    @property
    def is_stopped(self) -> bool:
        """Whether a signal has stopped the process, which would let a command wait for ever."""
        try:
            return bool(psutil.Process(self.process).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False

    def wake(self) -> None:
        """Let the process look at its record now."""
        if self.is_running:
            with suppress(OSError):
                os.kill(self.process, _WAKE)

    def measure_bytes(self) -> int:
        """Return its memory: its part of what it shares with others, without files that the system can drop."""
        try:
            text = Path(f"/proc/{self.process}/smaps_rollup").read_text()
        except OSError:
            return 0
        found = _ANONYMOUS.search(text)
        return int(found[1]) * 1024 if found else 0


class WarmFolder:
    """The folder of the user who runs this process.

    Raises:
        OSError: if it cannot be made, or is not this user's alone.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self.path = Path(parent or tempfile.gettempdir()) / _FOLDER.format(user=os.geteuid())
        self.path.mkdir(mode=0o700, exist_ok=True)
        state = os.lstat(self.path)
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o077:
            raise PermissionError(f"{self.path} is not a folder of this user alone")

    def locate(self, name: str, kind: Literal["alive", "record", "socket", "modules"]) -> Path:
        """Return one of a process's files."""
        return self.path / f"{name}.{kind}"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other commands from starting or joining processes."""
        with (self.path / _LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def write(self, record: KeptRecord) -> None:
        """Write a record as a whole."""
        self.write_whole(self.locate(record.name, "record"), json.dumps(asdict(record)))

    def write_whole(self, file: Path, text: str) -> None:
        """Write a file of which nobody sees a part."""
        aside = file.with_suffix(f".{os.getpid()}")
        aside.write_text(text)
        aside.replace(file)

    def read(self) -> list[KeptRecord]:
        """Return the records of processes that run, the last used first; remove the others."""
        found = []
        for file in self.path.glob("*.record"):
            with suppress(OSError, ValueError, TypeError):
                found.append((file.stat().st_mtime, KeptRecord(**json.loads(file.read_text()))))
        for _, record in found:
            if not record.is_running:
                self.remove(record.name)
        return [record for _, record in sorted(found, key=lambda each: -each[0]) if record.is_running]

    def touch(self, name: str) -> None:
        """Note that a process is used."""
        with suppress(OSError):
            os.utime(self.locate(name, "record"))

    def read_last_use(self, name: str) -> float:
        """Return when a process was last used, in seconds of the system's clock; 0 where its record is gone."""
        try:
            return self.locate(name, "record").stat().st_mtime
        except OSError:
            return 0.0

    def remove(self, name: str) -> None:
        """Remove all files of a process that has ended or is about to."""
        for file in self.path.glob(f"{name}.*"):
            file.unlink(missing_ok=True)

    def retire(self, record: KeptRecord) -> None:
        """End a process once nobody uses it: at once where it is idle. No further command can join it."""
        # Its socket stays for the commands that use it.
        self.locate(record.name, "record").unlink(missing_ok=True)
        self.locate(record.name, "alive").unlink(missing_ok=True)
        record.wake()


def measure_rank_bytes(folder: WarmFolder, name: str) -> int:
    """Return the memory of a kept process and of all that were used after it."""
    held = 0
    for record in folder.read():
        held += record.measure_bytes()
        if record.name == name:
            break
    return held
