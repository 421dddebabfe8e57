"""Arithmetic of ranges: steps in decimal digits, steps that multiply, and values spread over a range."""

from __future__ import annotations

import math
from decimal import Decimal


def to_decimal(value: float) -> Decimal:
    """Return a number by its decimal digits, as a file has them."""
    return Decimal(str(value))


def count_log_steps(low: float, high: float, step: float) -> int:
    """Return the number of steps from `low` to `high` where each multiplies by `step`."""
    # The quotient of two logarithms may fall just short of a whole number.
    return math.floor(math.log(high / low) / math.log(step) + 1e-9)


def spread_indexes(count: int, points: int) -> tuple[int, ...]:
    """Return up to `points` indexes below `count`, evenly spread from the first to the last."""
    if count <= points:
        return tuple(range(count))
    return tuple(dict.fromkeys(round(share * (count - 1)) for share in divide_evenly(points)))


def divide_evenly(points: int) -> tuple[float, ...]:
    """Return `points` shares from 0 to 1 at equal distances; one alone is in the middle."""
    return tuple(index / (points - 1) for index in range(points)) if points > 1 else (0.5,)


def interpolate(low: float, high: float, share: float, log: bool) -> float:
    """Return the value at a share of the way from `low` to `high`, on a log scale with `log`."""
    # `exp` and `log` would miss the ends by their rounding.
    if share in (0, 1):
        return high if share else low
    value = low * math.exp(share * math.log(high / low)) if log else low + share * (high - low)
    return min(max(value, low), high)
