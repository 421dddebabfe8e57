"""What a supervisor and a fleet's worker say to each other; plain values.

A fleet's job begins with empty seats and asks for trials. It reports every epoch, asks about the trials that reached
a rung, and asks for further trials whenever some have ended; it ends when nobody sits any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.spec.schema import TrainingSpec
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.messages import EpochDone, TrialResult


@dataclass(frozen=True)
class FleetJob:
    """A fleet, as a worker gets it.

    Attributes:
        seats: how many trials train together.
        data: folder that data preparation wrote.
        metric, direction, per_layer: as of every trial; see `TrialJob`.
        trial_s: longest time of one trial; None for no limit.
    """

    envelope: Envelope
    seats: int
    data: str
    training: TrainingSpec
    metric: str
    direction: Literal["minimize", "maximize"]
    per_layer: frozenset[str]
    trial_s: float | None = None


@dataclass(frozen=True)
class FleetEpoch:
    """What an epoch brought for each trial, by number; reported."""

    epochs: Mapping[int, EpochDone]


@dataclass(frozen=True)
class RungsReached:
    """What a fleet asks at rungs: which of these trials are to be pruned? Answered with their numbers.

    Attributes:
        best: by number, the epoch just done, counted from 0, and the best score so far.
    """

    best: Mapping[int, tuple[int, float]]


@dataclass(frozen=True)
class MemberFailed:
    """How a member ended that cannot be scored."""

    reason: str


@dataclass(frozen=True)
class SlotsFree:
    """What a fleet asks when seats are free: who takes them? Answered with `TrialJob`s, at most `free` of them.

    Attributes:
        ended: trials that ended since, by number; all their files are written.
    """

    free: int
    ended: Mapping[int, TrialResult | Rejected | MemberFailed]
