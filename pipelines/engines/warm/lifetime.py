"""Lifetime of a kept process: it ends some time after its last use, or where memory is short."""

from __future__ import annotations

import os
import time

import psutil

from pipelines.engines.warm.folder import WarmFolder, measure_rank_bytes
from pipelines.engines.warm.settings import WarmSettings

LONGEST_CHECK_S = 5.0


class Lifetime:
    """When a kept process is over.

    Args:
        name: of its record.
    """

    def __init__(self, folder: WarmFolder, name: str, settings: WarmSettings) -> None:
        self._folder = folder
        self._name = name
        self._settings = settings

    @property
    def check_s(self) -> float:
        """Seconds between two checks."""
        return min(LONGEST_CHECK_S, self._settings.kept_s / 4)

    def touch(self) -> None:
        """Note that the process is used."""
        self._folder.touch(self._name)

    def is_over(self) -> bool:
        """Return whether the idle process has to end."""
        unused_s = time.time() - self._folder.read_last_use(self._name)
        # Below zero: a clock that was set back must not keep a process for long.
        if not -LONGEST_CHECK_S <= unused_s <= self._settings.kept_s:
            return True
        # The rest is for the jobs of others.
        allowed = min(self._settings.memory_bytes, psutil.virtual_memory().available // 2)
        return bool(measure_rank_bytes(self._folder, self._name) > allowed)


def has_children() -> bool:
    """Return whether this process has any child that runs or has not been waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
