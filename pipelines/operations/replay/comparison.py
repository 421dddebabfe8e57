"""Comparison of recorded values, curves and arrays with new ones: equal, within a tolerance, or different.

Pure functions on plain values and arrays. The tolerances are from measurements, in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipelines.data.array_types import Array

Agreement = Literal["equal", "rounding", "different", "unknown"]
Topic = Literal["result", "trial", "data", "code", "environment"]
# Unknown last: what is missing must not hide a difference.
_WORST_FIRST: tuple[Agreement, ...] = ("different", "rounding", "equal", "unknown")
_MOST_NAMED = 6  # keys in a note; the mappings themselves are in the result
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class ItemComparison:
    """Comparison of one recorded value with the present one.

    Attributes:
        agreement: `equal` to the last bit; apart by `rounding` alone; `different`; or `unknown`, if one of the
            two is missing.
        recorded, now: both as plain values, if they are short.
        largest: the largest absolute difference of numbers; None if it is infinite, and for other values.
        note: a remark, such as the reason for `unknown`.
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
    """Tolerance for rounding between two trainings of one trial.

    A number may differ by a share of the recorded one plus an absolute difference.
    """

    metric_share: float
    metric: float
    weight_share: float
    weight: float


ONE_FLEET_TO_ANOTHER = Tolerance(1e-5, 1e-6, 1e-5, 2e-6)
# Sums are in another order under JAX and TensorFlow.
FLEET_TO_OTHERS = Tolerance(1e-4, 1e-5, 1e-4, 1e-4)
AMONG_OTHERS = Tolerance(2e-4, 2e-5, 1e-3, 1e-4)


def tolerance_for(one: str, other: str) -> Tolerance:
    """Return the tolerance between a trial by one trainer and the same trial by another; names as in `TrialResult`."""
    # By the number of fleets among the two: none, one, both.
    fleets = (one, other).count("fleet")
    return (AMONG_OTHERS, FLEET_TO_OTHERS, ONE_FLEET_TO_ANOTHER)[fleets]


def find_worst(compared: Iterable[ItemComparison]) -> Agreement:
    """Return the worst agreement of some comparisons."""
    found = {each.agreement for each in compared}
    return next((agreement for agreement in _WORST_FIRST if agreement in found), "unknown")


def compare_values(topic: Topic, name: str, recorded: Any, now: Any, note: str = "") -> ItemComparison:
    """Compare two plain values; None is a missing one."""
    if recorded is None:
        return ItemComparison(topic, name, "unknown", None, now, note=note or "not recorded")
    return ItemComparison(topic, name, "equal" if recorded == now else "different", recorded, now, note=note)


def compare_mappings(
    topic: Topic, name: str, recorded: Mapping[str, Any] | None, now: Mapping[str, Any], note: str = ""
) -> ItemComparison:
    """Compare two mappings of plain values as one item; the note names the keys that differ."""
    if recorded is None:
        return ItemComparison(topic, name, "unknown", None, dict(now), note="not recorded")
    # A key whose value is None differs from a missing one.
    names = [
        key for key in {**recorded, **now} if recorded.get(key) != now.get(key) or (key in recorded) != (key in now)
    ]
    changes = [f"{key} was {_format_value(recorded, key)}, is {_format_value(now, key)}" for key in names[:_MOST_NAMED]]
    more = [f"{len(names) - _MOST_NAMED} more differ"] if len(names) > _MOST_NAMED else []
    remarks = "; ".join([*([note] if note else []), *changes, *more])
    return ItemComparison(topic, name, "different" if names else "equal", dict(recorded), dict(now), note=remarks)


def compare_number(
    topic: Topic, name: str, recorded: float | None, now: float | None, tolerance: Tolerance
) -> ItemComparison:
    """Compare two numbers with the tolerance of metrics; None is a missing one."""
    if recorded is None or now is None:
        return compare_values(topic, name, recorded, now)
    agreement, largest = _compare_pair(np.array([recorded]), np.array([now]), tolerance.metric_share, tolerance.metric)
    return ItemComparison(topic, name, agreement, recorded, now, _drop_infinite(largest))


def compare_curves(
    recorded: Sequence[Mapping[str, float]], now: Sequence[Mapping[str, float]], tolerance: Tolerance
) -> tuple[ItemComparison, ...]:
    """Compare two trainings epoch by epoch: the number of epochs, and each metric over the common ones.

    The note of a metric names the first epoch that differs, counted from 1, and the one that differs most.
    """
    length = compare_values("result", "epochs", len(recorded), len(now))
    names = dict.fromkeys(name for metrics in (*recorded, *now) for name in metrics)
    return (length, *(_compare_metric(name, recorded, now, tolerance) for name in names))


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
    agreements = {agreement for agreement, _ in pairs}
    agreement: Agreement = next((each for each in _WORST_FIRST if each in agreements), "equal")
    return ItemComparison(
        topic, name, agreement, largest=_drop_infinite(max((largest for _, largest in pairs), default=0.0))
    )


def _compare_metric(
    name: str, recorded: Sequence[Mapping[str, float]], now: Sequence[Mapping[str, float]], tolerance: Tolerance
) -> ItemComparison:
    # Not strict: the number of epochs is compared on its line.
    both = list(zip(recorded, now, strict=False))
    # A metric that one side lacks is another training, whatever its other numbers are.
    lone = next((at for at, (one, other) in enumerate(both) if (name in one) != (name in other)), None)
    if lone is not None:
        whose = "recorded" if name in both[lone][0] else "there now"
        return ItemComparison("result", name, "different", note=f"in epoch {lone + 1} it is {whose} alone")
    at = [epoch for epoch, (one, _) in enumerate(both) if name in one]
    if not at:
        return ItemComparison("result", name, "unknown", note="no epoch that both have reports it")
    ours, theirs = (np.array([each[epoch][name] for epoch in at]) for each in (recorded, now))
    agreement, largest = _compare_pair(ours, theirs, tolerance.metric_share, tolerance.metric)
    apart = _measure_distance(ours, theirs)
    differs = np.flatnonzero(apart)
    if not len(differs):
        return ItemComparison("result", name, "equal", largest=0.0)
    first, most = at[int(differs[0])] + 1, at[int(np.argmax(apart))] + 1
    return ItemComparison(
        "result", name, agreement, largest=_drop_infinite(largest), note=f"first in epoch {first}, most in epoch {most}"
    )


def _compare_pair(recorded: Array, now: Array, share: float, absolute: float) -> tuple[Agreement, float]:
    """Return the agreement of two arrays of one shape, and their largest difference; 0 if not numbers."""
    if np.array_equal(recorded, now):
        return "equal", 0.0
    if recorded.dtype.kind not in "biuf" or now.dtype.kind not in "biuf":
        return "different", 0.0
    ours, theirs = recorded.astype(np.float64), now.astype(np.float64)
    apart = _measure_distance(ours, theirs)
    largest = float(apart.max(initial=0.0))
    if largest == 0:
        return "equal", 0.0
    # NaN would make every comparison false; `_measure_distance` has dealt with it.
    allowed = absolute + share * np.nan_to_num(np.abs(ours), nan=0.0, posinf=0.0)
    return ("rounding" if bool((apart <= allowed).all()) else "different"), largest


def _measure_distance(ours: Array, theirs: Array) -> Array:
    """Return absolute differences: 0 for the same infinity or two NaN, infinite for one of them."""
    # A loss that was NaN then and is NaN now is the same result.
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    # Infinity minus infinity.
    with np.errstate(invalid="ignore"):
        apart = np.abs(ours - theirs)
    filled: Array = np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))
    return filled


def _drop_infinite(largest: float) -> float | None:
    # JSON has no infinity.
    return largest if np.isfinite(largest) else None


def _format_value(mapping: Mapping[str, Any], key: str) -> str:
    if key not in mapping:
        return "missing"
    text = str(mapping[key])
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
