"""Messages between a supervisor and a fleet's worker; plain values.

A fleet's job starts with empty slots and requests trials. It reports every epoch, requests at a rung which trials go
on, and requests further trials whenever some have ended or were paused; it ends when every slot is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.spec.schema import TrainingSpec
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.messages import EpochDone, TrialOutcome
from search_spaces.values import Direction


@dataclass(frozen=True)
class FleetJob:
    """A fleet to train.

    Attributes:
        slots: number of trials that train together.
        data: folder that data preparation wrote.
        metric, direction, per_layer: as of every trial; see `TrialJob`.
        trial_s: longest time of one trial; None for no limit.
    """

    envelope: Envelope
    slots: int
    data: str
    training: TrainingSpec
    metric: str
    direction: Direction
    per_layer: frozenset[str]
    trial_s: float | None = None


@dataclass(frozen=True)
class FleetEpoch:
    """Report of an epoch for each trial, by number."""

    epochs: Mapping[int, EpochDone]


@dataclass(frozen=True)
class RungsReached:
    """Request of a fleet at rungs; answered with a `RungDecision` for each trial, by number.

    Attributes:
        best: by number, the epoch just done, counted from 0, and the best score so far.
    """

    best: Mapping[int, tuple[int, float]]


@dataclass(frozen=True)
class SlotsFree:
    """Request of a fleet with free slots; answered with `TrialJob`s, at most `free` of them.

    Attributes:
        ended: outcomes of trials that ended or were paused since, by number; all their files are written.
    """

    free: int
    ended: Mapping[int, TrialOutcome]
