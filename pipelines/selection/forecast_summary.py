"""Summary of a model's forecasts for a report: errors by origin and by step, beside those of a naive forecast.

A rolling origin: the forecasts that start at several times, one after the other, each made from what was known by then
(Hyndman and Athanasopoulos, Forecasting: Principles and Practice, section 5.10). Those that are shown do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.prepared_folder import WindowRows
from pipelines.data.series.naive_forecast import make_naive_forecasts
from pipelines.data.series.windows import format_time

_MOST_ORIGINS: Final = 12
_MOST_STEPS: Final = 60
_MOST_SERIES: Final = 4
_MOST_POINTS: Final = 400


def summarize_forecast(windows: WindowRows, y: Array, predicted: Array) -> dict[str, Any] | None:
    """Return the summary; None where the outputs are no forecast of numbers.

    Args:
        windows: the rows.
        y: [row, output], outputs by target and then by step.
        predicted: likewise.
    """
    facts, naive = windows.facts, list(make_naive_forecasts(windows.numbers, windows.facts))
    outputs = len(facts.targets) * facts.horizon
    y, predicted = y.reshape(len(y), -1).astype(np.float64), predicted.reshape(len(predicted), -1)
    if not naive or not len(y) or y.shape[1] != outputs or predicted.shape != y.shape or len(windows.times) != len(y):
        return None
    # The last one: of a season where windows hold one.
    beside = naive[-1]
    errors = np.abs(y - predicted), np.abs(y - beside.values)
    origins = _choose_origins(windows.times)
    by_step = [each.reshape(len(y), len(facts.targets), facts.horizon).mean(axis=1) for each in errors]
    return {
        "naive": beside.label,
        "is_date": facts.time.kind == "date",
        "target": facts.targets[0],
        "origins": [_describe_origin(windows, first, errors) for first in origins],
        "steps": _average_steps(by_step),
        "series": list(_draw_series(windows, y, predicted, origins)),
    }


def _choose_origins(times: Array) -> list[float]:
    """Return times at which forecasts begin, the newest and others before it that do not overlap, in their order."""
    first, chosen = times[:, 0], list[float]()
    for begin in np.unique(first)[::-1]:
        if not chosen or times[first == begin, -1].max() < chosen[-1]:
            chosen.append(float(begin))
        if len(chosen) == _MOST_ORIGINS:
            break
    return chosen[::-1]


def _describe_origin(windows: WindowRows, first: float, errors: tuple[Array, Array]) -> dict[str, Any]:
    rows = windows.times[:, 0] == first
    last = float(windows.times[rows, -1].max())
    is_date = windows.facts.time.kind == "date"
    return {
        "first": format_time(first, is_date=is_date),
        "last": format_time(last, is_date=is_date),
        "forecasts": int(rows.sum()),
        "error": float(errors[0][rows].mean()),
        "naive": _average_known(errors[1][rows]),
    }


def _average_steps(by_step: Sequence[Array]) -> list[tuple[int, float, float | None]]:
    """Return the errors of each step ahead, over all rows; of many steps some."""
    count = by_step[0].shape[1]
    steps = np.unique(np.linspace(0, count - 1, min(count, _MOST_STEPS)).round().astype(int))
    return [(int(step) + 1, float(by_step[0][:, step].mean()), _average_known(by_step[1][:, step])) for step in steps]


def _average_known(errors: Array) -> float | None:
    """Return the mean of the errors that there are; None where there are none."""
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if len(known) else None


def _draw_series(windows: WindowRows, y: Array, predicted: Array, origins: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Yield actual values and forecasts of the first target, of the series with most rows."""
    names, horizon = np.array(windows.names or [""] * len(y)), windows.facts.horizon
    found, counts = np.unique(names, return_counts=True)
    for name in found[np.argsort(-counts, kind="stable")][:_MOST_SERIES]:
        own = np.flatnonzero(names == name)
        actual = dict(zip(windows.times[own].reshape(-1).tolist(), y[own, :horizon].reshape(-1).tolist(), strict=True))
        forecasts = []
        for first in origins:
            at = own[windows.times[own, 0] == first]
            if len(at):
                values = predicted[at[0], :horizon].tolist()
                forecasts.append(list(zip(windows.times[at[0]].tolist(), values, strict=True)))
        yield {"name": str(name), "actual": sorted(actual.items())[-_MOST_POINTS:], "forecasts": forecasts}
