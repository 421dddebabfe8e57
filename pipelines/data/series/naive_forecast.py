"""Naive forecasts, which a trained one has to beat: the last value, and the value one season before.

The season is guessed from the usual step: a day of hours, a week of days, a year of months or quarters (Hyndman and
Athanasopoulos, Forecasting: Principles and Practice, section 5.2).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.raw import RawData
from pipelines.data.splits.split import Split
from pipelines.data.targets.labels import Labels

_SEASONS = (  # least and largest step in days, rows of a season, its name
    (1 / 25, 1 / 23, 24, "day"),
    (0.9, 1.1, 7, "week"),
    (27.0, 32.0, 12, "year"),
    (88.0, 93.0, 4, "year"),
)


def describe_naive_forecasts(raw: RawData, labels: Labels, split: Split) -> tuple[str, ...]:
    """Return a note with the errors of naive forecasts on validation rows; none where the target has no past."""
    if raw.windows is None or raw.array is None or labels.classes or None in raw.windows.targets:
        return ()
    rows = np.concatenate([split.select_rows("validation", fold) for fold in range(split.folds)])
    past = raw.array[rows][:, :, list(raw.windows.targets)]
    found = [
        f"{name} has {_describe_error(forecast, labels.y[rows])}" for name, forecast in _forecast(raw, labels, past)
    ]
    return (f"on validation rows {', '.join(found)}; a model should be better",) if found else ()


def _forecast(raw: RawData, labels: Labels, past: Array) -> Iterator[tuple[str, Array]]:
    """Yield the name and the values [row, output] of each naive forecast, outputs by target and then by step."""
    assert raw.windows is not None
    horizon = labels.y.shape[1] // past.shape[2]
    yield "the last value as forecast", np.repeat(past[:, -1, :], horizon, axis=1)
    step, length = raw.windows.step, past.shape[1]
    for least, most, season, name in _SEASONS:
        if least <= step <= most and season <= length:
            at = [length - season + ahead % season for ahead in range(horizon)]
            yield f"the value of a {name} before", past[:, at, :].transpose(0, 2, 1).reshape(len(past), -1)


def _describe_error(forecast: Array, y: Array) -> str:
    error = forecast - y
    error = error[np.isfinite(error)]
    if not len(error):
        return "no value"
    return f"a mean absolute error of {np.abs(error).mean():.4g} (root mean squared {np.sqrt((error**2).mean()):.4g})"
