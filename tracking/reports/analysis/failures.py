"""Failures of a study's trials, grouped by their reasons."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tracking.reports.content import ReportTrial

# Numbers differ between trials that fail for one reason: an epoch, a size, an address.
_NUMBER = re.compile(r"(?<![\w])(?:0x[0-9a-fA-F]+|-?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?)(?![\w])")


@dataclass(frozen=True)
class FailureGroup:
    """Trials that failed for one reason; `reason` is that of the first."""

    reason: str
    numbers: tuple[int, ...]


def group_failures(trials: Sequence[ReportTrial]) -> list[FailureGroup]:
    """Return the failed trials by their reasons, the most frequent first; reasons that differ in numbers are one."""
    groups: dict[str, list[ReportTrial]] = {}
    for trial in trials:
        if trial.state == "failed":
            groups.setdefault(_NUMBER.sub("#", trial.reason), []).append(trial)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [FailureGroup(group[0].reason or "no reason", tuple(each.number for each in group)) for group in ordered]
