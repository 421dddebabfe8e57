"""Series for portfolios, as tables of rows in time; the same at every call.

A set is one series, or several whose levels differ. Each has a column of time, `value`, and what else its forecast may
learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

STEPS = 450


def _make_waves() -> pd.DataFrame:
    """Return the sum of three waves, whose lengths have no common multiple, in noise."""
    random, step = np.random.default_rng(21), np.arange(STEPS)
    waves = sum(size * np.sin(2 * np.pi * step / length) for size, length in ((1.0, 17.3), (0.6, 7.1), (0.8, 41.7)))
    return _frame(value=waves + random.normal(0, 0.3, STEPS))


def _make_ar() -> pd.DataFrame:
    """Return a process of three lags, near the edge of what is stable."""
    random, value = np.random.default_rng(22), np.zeros(STEPS)
    shocks = random.normal(0, 1, STEPS)
    for at in range(3, STEPS):
        value[at] = 1.2 * value[at - 1] - 0.7 * value[at - 2] + 0.3 * value[at - 3] + shocks[at]
    return _frame(value=value)


def _make_regimes() -> pd.DataFrame:
    """Return a process that swings in one regime and holds in the other, each for 40 steps on average."""
    random, value, holds = np.random.default_rng(23), np.zeros(STEPS), False
    shocks = random.normal(0, 1, STEPS)
    for at in range(1, STEPS):
        holds = holds != (random.random() < 1 / 40)
        value[at] = (0.95 if holds else -0.9) * value[at - 1] + shocks[at]
    return _frame(value=value)


def _make_chaos() -> pd.DataFrame:
    """Return the equation of Mackey and Glass (1977) with a delay of 17, every sixth step, in a little noise."""
    random, value = np.random.default_rng(24), np.full(6 * STEPS + 400, 1.2)
    for at in range(17, len(value)):
        late = value[at - 18]
        value[at] = value[at - 1] + 0.2 * late / (1 + late**10) - 0.1 * value[at - 1]
    return _frame(value=value[400::6][:STEPS] + random.normal(0, 0.02, STEPS))


def _make_levers() -> pd.DataFrame:
    """Return a value that follows the product of two other columns some steps later."""
    random = np.random.default_rng(25)
    force, valve = (np.convolve(random.normal(0, 1, STEPS + 5), np.ones(4) / 2, "valid")[:STEPS] for _ in range(2))
    pushed = np.roll(force, 4) * np.roll(valve, 2) + 0.5 * np.roll(force, 1)
    return _frame(value=pushed + random.normal(0, 0.2, STEPS), force=force, valve=valve)


def _make_shops() -> pd.DataFrame:
    """Return five shops of levels from 10 to 1,000, each with a week's pattern, a trend and noise of its own."""
    random, day, frames = np.random.default_rng(26), np.arange(120), []
    for shop in range(5):
        level, week = 10 ** random.uniform(1, 3), random.normal(0, 0.3, 7)
        noise = random.normal(0, 0.1, len(day))
        value = level * (1 + week[day % 7] + random.normal(0, 0.5) * day / len(day) + noise)
        frames.append(_frame(value=value, shop=f"shop {shop}"))
    return pd.concat(frames)


def _frame(**columns: Any) -> pd.DataFrame:
    table = pd.DataFrame(columns).round(5)
    table.insert(0, "day", pd.date_range("2022-01-03", periods=len(table)).strftime("%Y-%m-%d"))
    return table


SERIES: Mapping[str, tuple[Callable[[], pd.DataFrame], Mapping[str, Any]]] = {
    "waves": (_make_waves, {"length": 24, "horizon": 4}),
    "regimes": (_make_regimes, {"length": 24, "horizon": 1}),
    "chaos": (_make_chaos, {"length": 24, "horizon": 6}),
    "levers": (_make_levers, {"length": 12, "horizon": 1}),
    "shops": (_make_shops, {"length": 21, "horizon": 7, "by": "shop"}),
    "ar": (_make_ar, {"length": 16, "horizon": 1}),
}
"""How each set is made, and what a study's `data.series` has beside its column of time."""
