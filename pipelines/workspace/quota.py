"""Quota of a home: the most room that its files may take."""

from __future__ import annotations

import errno
import time
from pathlib import Path

from pipelines.workspace.trees import measure_tree

# Measuring takes at most a twentieth of the time, and at least so long apart.
_LEAST_S = 15.0
_SHARE = 20


class QuotaError(OSError):
    """The home has reached its quota; as for a full disk, a study that runs is paused."""


class HomeQuota:
    """Quota of a home, checked now and then by a process that adds files to it.

    Args:
        folder: the home's folder.
        most_bytes: most bytes of its files; None for no limit.
    """

    def __init__(self, folder: Path, most_bytes: int | None) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._next_s = 0.0
        self._reason = ""

    def check(self) -> None:
        """Measure the home if that is due.

        Raises:
            QuotaError: if it has reached its quota.
        """
        if reason := self.find_reason():
            raise QuotaError(errno.EDQUOT, reason)

    def find_reason(self) -> str:
        """Return why nothing may be added to the home, as of the latest measurement; empty if something may."""
        began_s = time.monotonic()
        if self._most_bytes is not None and began_s >= self._next_s:
            size = measure_tree(self._folder)
            ended_s = time.monotonic()
            self._next_s = ended_s + max(_LEAST_S, _SHARE * (ended_s - began_s))
            is_reached = size >= self._most_bytes
            self._reason = explain_quota(self._folder, size, self._most_bytes) if is_reached else ""
        return self._reason


def explain_quota(folder: Path, size: int, most_bytes: int) -> str:
    """Return why a study stops at a home's quota, and what to do."""
    return (
        f"the home {folder} holds {size / 1e9:.3g} GB, and quotas.home is {most_bytes / 1e9:.3g} GB: make room with "
        "kerastudy gc, archive or delete, or raise quotas.home; then resume the study"
    )
