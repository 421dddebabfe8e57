"""Scale of each window: its target's past is read, and its forecast made, in units of the window's own spread.

As in "Reversible Instance Normalization for Accurate Time-Series Forecasting against Distribution Shift" (Kim et al.
2022), without its trained factors: a level that training did not have is none after the subtraction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from keras import ops

_LEAST: Final = 1e-3  # chosen; spread of a constant window, in standard deviations of all training windows


def scale_windows(series: Any, past: tuple[int, ...], window: int) -> tuple[Any, Callable[[Any], Any]]:
    """Return a standardised series with the past of its targets in units of each window, and the way back.

    Args:
        series: [row, step, channel].
        past: the channel of the past of each target.
        window: number of the last steps that are used; 0 for all.

    Returns:
        The series, and a function from predictions [row, output] in units of the window to standardised ones; outputs
        are by target and then by step.
    """
    steps = series[:, -window:, :] if window else series
    places = np.eye(series.shape[2], dtype=np.float32)[list(past)]
    own = ops.matmul(steps, places.T)
    level = ops.mean(own, axis=1, keepdims=True)
    spread = ops.sqrt(ops.mean(ops.square(own - level), axis=1, keepdims=True)) + _LEAST
    # Other channels: less nothing, divided by one.
    shift, divisor = ops.matmul(level, places), ops.matmul(spread - 1.0, places) + 1.0

    def restore(predicted: Any) -> Any:
        count = predicted.shape[-1] // len(past)
        return predicted * _repeat(spread, count) + _repeat(level, count)

    return (series - shift) / divisor, restore


def _repeat(values: Any, count: int) -> Any:
    """Return one value a target [row, 1, target] for each of its steps [row, output]."""
    return ops.repeat(values[:, 0, :], count, axis=-1)
