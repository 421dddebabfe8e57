"""Draws around a point that is known to be sensible: starting points of a study whose family has no portfolio."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

# Measured on the LCBench surrogate (docs/choosing-a-search.md): a default and four such draws around it.
_SPREAD = 0.2


def draw_around(
    point: Mapping[str, Any], distributions: Mapping[str, BaseDistribution], count: int, seed: int
) -> list[dict[str, Any]]:
    """Return points near a point, in Optuna's names and values; the same at every call.

    Numbers are moved by a fifth of their range on average, on the scale that they are drawn on. One choice in five
    is drawn anew.
    """
    random = Random(seed)
    return [{name: _move(value, distributions[name], random) for name, value in point.items()} for _ in range(count)]


def _move(value: Any, distribution: BaseDistribution, random: Random) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return random.choice(distribution.choices) if random.random() < _SPREAD else value
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high = float(distribution.low), float(distribution.high)
    moved = min(max(_to_share(value, low, high, distribution.log) + random.gauss(0.0, _SPREAD), 0.0), 1.0)
    number = low * (high / low) ** moved if distribution.log else low + (high - low) * moved
    if distribution.step is not None and not distribution.log:
        number = low + round((number - low) / distribution.step) * distribution.step
    number = min(max(number, low), high)
    return round(number) if isinstance(distribution, IntDistribution) else number


def _to_share(value: float, low: float, high: float, log: bool) -> float:
    if high == low:
        return 0.0
    return math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)
