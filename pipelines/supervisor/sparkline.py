"""Curves of numbers as one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-:=+*#"
_WIDE_RANGE = 50.0  # chosen: beyond it a linear scale shows one fall and a flat line


def choose_levels(encoding: str | None) -> str:
    """Return the levels that a stream of an encoding can write.

    >>> choose_levels("utf-8") == BLOCKS, choose_levels("ascii") == ASCII
    (True, True)
    """
    return BLOCKS if (encoding or "").lower().replace("-", "").startswith("utf") else ASCII


def draw_sparkline(values: Sequence[float], width: int, levels: str = BLOCKS) -> str:
    """Return a curve as a line of at most `width` characters; of more values it shows the last of each section.

    Positive values of a wide range are on a logarithmic scale.

    >>> draw_sparkline([8, 4, 4, 2, 1], 10)
    '█▄▄▂▁'
    >>> draw_sparkline([1, 2, 3, 4], 2, ASCII)
    '_#'
    """
    shown = sample_curve(values, width)
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if low > 0 and high / low > _WIDE_RANGE:
        shown = [math.log(value) for value in shown]
        low, high = min(shown), max(shown)
    if high == low:
        return levels[0] * len(shown)
    top = len(levels) - 1
    return "".join(levels[round((value - low) / (high - low) * top)] for value in shown)


def sample_curve(values: Sequence[float], most: int) -> list[float]:
    """Return a curve of at most so many values: the last of each section, so that its end is always shown.

    >>> sample_curve([1, 2, 3, 4, 5], 2)
    [2, 5]
    """
    if len(values) <= most:
        return list(values)
    return [values[(place + 1) * len(values) // most - 1] for place in range(max(0, most))]
