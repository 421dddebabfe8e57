"""Compares two trainings of one trial, and whatever else a trial depends on: how alike are they?

Pure functions on plain values and arrays. How close trainings of one trial come is measured and said in
docs/architecture.md, "What is equal, and how close".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Agreement = Literal["equal", "rounding", "different", "unknown"]
Topic = Literal["result", "trial", "data", "code", "environment"]
_WORST_FIRST: tuple[Agreement, ...] = ("different", "rounding", "equal", "unknown")
_MOST_NAMED = 6
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class ItemComparison:
    """One thing, as it was recorded and as it is now.

    Attributes:
        verdict: `equal` to the last bit; apart by `rounding` alone; `different`; or `unknown`, where one of the two
            is not there to compare.
        recorded, now: both as plain values, where they are short enough to be read.
        largest: the largest absolute difference, of what consists of numbers; None also where one of them is infinite.
        note: what else there is to say.
    """

    topic: Topic
    name: str
    agreement: Agreement
    recorded: Any = None
    now: Any = None
    largest: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Tolerance:
    """How far apart two trainings of one trial may come by rounding.

    A number may differ by a share of the recorded one plus an absolute difference.
    """

    metric_share: float
    metric: float
    weight_share: float
    weight: float


ONE_FLEET_TO_ANOTHER = Tolerance(1e-5, 1e-6, 1e-5, 2e-6)
FLEET_TO_OTHERS = Tolerance(1e-4, 1e-5, 1e-4, 1e-4)
AMONG_OTHERS = Tolerance(2e-4, 2e-5, 1e-3, 1e-4)


def tolerance_for(one: str, other: str) -> Tolerance:
    """Return how close a trial by one trainer comes to the same one by another; they are named as in `TrialResult`."""
    fleets = (one, other).count("fleet")
    return (AMONG_OTHERS, FLEET_TO_OTHERS, ONE_FLEET_TO_ANOTHER)[fleets]


def find_worst(compared: Iterable[ItemComparison]) -> Agreement:
    """Return the worst verdict of some comparisons."""
    found = {each.agreement for each in compared}
    return next((agreement for agreement in _WORST_FIRST if agreement in found), "unknown")


def compare_values(topic: Topic, name: str, recorded: Any, now: Any, note: str = "") -> ItemComparison:
    """Compare two plain values; None is not there."""
    if recorded is None:
        return ItemComparison(topic, name, "unknown", None, now, note=note or "not recorded")
    return ItemComparison(topic, name, "equal" if recorded == now else "different", recorded, now, note=note)


def compare_mappings(
    topic: Topic, name: str, recorded: Mapping[str, Any] | None, now: Mapping[str, Any], note: str = ""
) -> ItemComparison:
    """Compare two mappings of plain values as one thing; the note names what differs."""
    if recorded is None:
        return ItemComparison(topic, name, "unknown", None, dict(now), note="not recorded")
    names = [
        key for key in {**recorded, **now} if recorded.get(key) != now.get(key) or (key in recorded) != (key in now)
    ]
    told = [f"{key} was {_format_value(recorded, key)}, is {_format_value(now, key)}" for key in names[:_MOST_NAMED]]
    more = [f"{len(names) - _MOST_NAMED} more differ"] if len(names) > _MOST_NAMED else []
    said = "; ".join([*([note] if note else []), *told, *more])
    return ItemComparison(topic, name, "different" if names else "equal", dict(recorded), dict(now), note=said)


def compare_number(
    topic: Topic, name: str, recorded: float | None, now: float | None, close: Tolerance
) -> ItemComparison:
    """Compare two numbers as metrics are compared; None is not there."""
    if recorded is None or now is None:
        return compare_values(topic, name, recorded, now)
    agreement, largest = _compare_pair(np.array([recorded]), np.array([now]), close.metric_share, close.metric)
    return ItemComparison(topic, name, agreement, recorded, now, _drop_infinite(largest))


def compare_curves(
    recorded: Sequence[Mapping[str, float]], now: Sequence[Mapping[str, float]], close: Tolerance
) -> tuple[ItemComparison, ...]:
    """Compare two trainings epoch by epoch: how many epochs there were, and each metric over those that both have.

    The note of a metric says which epoch, counted from 1, is the first that differs, and which differs most.
    """
    length = compare_values("result", "epochs", len(recorded), len(now))
    names = dict.fromkeys(name for metrics in (*recorded, *now) for name in metrics)
    return (length, *(_compare_metric(name, recorded, now, close) for name in names))


def compare_arrays(
    topic: Topic,
    name: str,
    recorded: Sequence[Array],
    now: Sequence[Array],
    *,
    share: float,
    absolute: float,
) -> ItemComparison:
    """Compare two lists of arrays, such as a model's weights."""
    if [array.shape for array in recorded] != [array.shape for array in now]:
        return ItemComparison(topic, name, "different", note="they differ in number or shape")
    pairs = [_compare_pair(*pair, share, absolute) for pair in zip(recorded, now, strict=True)]
    verdicts = {agreement for agreement, _ in pairs}
    agreement: Agreement = next((each for each in _WORST_FIRST if each in verdicts), "equal")
    return ItemComparison(
        topic, name, agreement, largest=_drop_infinite(max((largest for _, largest in pairs), default=0.0))
    )


def _compare_metric(
    name: str, recorded: Sequence[Mapping[str, float]], now: Sequence[Mapping[str, float]], close: Tolerance
) -> ItemComparison:
    both = list(zip(recorded, now, strict=False))
    lone = next((at for at, (one, other) in enumerate(both) if (name in one) != (name in other)), None)
    if lone is not None:
        whose = "recorded" if name in both[lone][0] else "there now"
        return ItemComparison("result", name, "different", note=f"in epoch {lone + 1} it is {whose} alone")
    at = [epoch for epoch, (one, _) in enumerate(both) if name in one]
    if not at:
        return ItemComparison("result", name, "unknown", note="no epoch that both have reports it")
    ours, theirs = (np.array([each[epoch][name] for epoch in at]) for each in (recorded, now))
    agreement, largest = _compare_pair(ours, theirs, close.metric_share, close.metric)
    apart = _measure_distance(ours, theirs)
    differs = np.flatnonzero(apart)
    if not len(differs):
        return ItemComparison("result", name, "equal", largest=0.0)
    first, most = at[int(differs[0])] + 1, at[int(np.argmax(apart))] + 1
    return ItemComparison(
        "result", name, agreement, largest=_drop_infinite(largest), note=f"first in epoch {first}, most in epoch {most}"
    )


def _compare_pair(recorded: Array, now: Array, share: float, absolute: float) -> tuple[Agreement, float]:
    """Return the verdict on two arrays of one shape, and their largest difference; 0 for what is no number."""
    if np.array_equal(recorded, now):
        return "equal", 0.0
    if recorded.dtype.kind not in "biuf" or now.dtype.kind not in "biuf":
        return "different", 0.0
    ours, theirs = recorded.astype(np.float64), now.astype(np.float64)
    apart = _measure_distance(ours, theirs)
    largest = float(apart.max(initial=0.0))
    if largest == 0:
        return "equal", 0.0
    allowed = absolute + share * np.nan_to_num(np.abs(ours), nan=0.0, posinf=0.0)
    return ("rounding" if bool((apart <= allowed).all()) else "different"), largest


def _measure_distance(ours: Array, theirs: Array) -> Array:
    """Return how far apart numbers are: 0 where both are the same infinity or no number, infinite where one is."""
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        apart = np.abs(ours - theirs)
    filled: Array = np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))
    return filled


def _drop_infinite(largest: float) -> float | None:
    return largest if np.isfinite(largest) else None


def _format_value(mapping: Mapping[str, Any], key: str) -> str:
    if key not in mapping:
        return "not there"
    text = str(mapping[key])
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
