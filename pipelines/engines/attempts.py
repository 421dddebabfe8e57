"""Attempts at a job: the rule for starting one again whose worker was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.engines.base import Failed, FailureKind

WORKER_LOST: Final[frozenset[FailureKind]] = frozenset({"died", "stall", "memory", "time"})
"""Failures that another worker may not repeat; code that raises an error raises it again."""


@dataclass(frozen=True)
class RetryPolicy:
    """Limits for the attempts at one job.

    Attributes:
        attempts: most attempts in all.
        kinds: failures after which a further attempt can succeed.
        time_s: time that all attempts share; None for no limit.
    """

    attempts: int
    kinds: frozenset[FailureKind] = WORKER_LOST
    time_s: float | None = None

    def allows_retry(self, failed: Failed, spent_s: Sequence[float]) -> bool:
        """Return whether a job starts again after a failure.

        Args:
            failed: the failure.
            spent_s: seconds that each attempt took, the failed one included.
        """
        if failed.kind not in self.kinds or len(spent_s) >= self.attempts:
            return False
        return self.time_s is None or sum(spent_s) < self.time_s
