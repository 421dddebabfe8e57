"""List of what is kept for the next command, as people see it, and its end."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from pipelines.engines.warm.folder import KeptRecord, WarmFolder

_END_S = 2.0  # chosen: one that runs for longer is in use


@dataclass(frozen=True)
class KeptProcess:
    """A process that is kept for the next command.

    Attributes:
        process: its id.
        kind: what it is.
        holds: name of what it has imported.
        memory_bytes: its memory, with its part of what it shares.
        unused_s: seconds since a command used it last.
    """

    process: int
    kind: Literal["server", "worker"]
    holds: str
    memory_bytes: int
    unused_s: float


def list_kept() -> tuple[KeptProcess, ...]:
    """Return the kept processes of this user, the last used first."""
    with suppress(OSError):  # no folder, or one of somebody else: nothing is kept
        folder = WarmFolder()
        return tuple(_view(folder, record) for record in folder.read())
    return ()


def end_kept() -> tuple[KeptProcess, ...]:
    """End the kept processes of this user; return those that still run, because a command uses them.

    These end with that command.
    """
    with suppress(OSError):
        folder = WarmFolder()
        with folder.lock():
            # Viewed first: when a process was last used stands in the record, which goes.
            viewed = [(record, _view(folder, record)) for record in folder.read()]
            for record, _ in viewed:
                folder.retire(record)
        ended = time.monotonic() + _END_S
        while any(record.is_running for record, _ in viewed) and time.monotonic() < ended:
            time.sleep(0.02)
        return tuple(view for record, view in viewed if record.is_running)
    return ()


def _view(folder: WarmFolder, record: KeptRecord) -> KeptProcess:
    unused_s = max(0.0, time.time() - folder.read_last_use(record.name))
    holds = record.module.rpartition(".")[2].removeprefix("preload_")
    return KeptProcess(record.process, record.kind, holds, record.measure_bytes(), round(unused_s, 1))
