"""Naive forecasts, which a trained one has to beat: the last value, and the value one season before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.data.array_types import Array
from pipelines.data.raw import RawData
from pipelines.data.splits.split import Split
from pipelines.data.targets.labels import Labels
from pipelines.data.window_facts import WindowFacts


@dataclass(frozen=True)
class NaiveForecast:
    """Naive forecasts of some windows.

    Attributes:
        name: short name, for metrics.
        label: what is predicted, in words.
        values: float64 [row, output], outputs by target and then by step.
    """

    name: str
    label: str
    values: Array


def make_naive_forecasts(numbers: Array, facts: WindowFacts) -> Iterator[NaiveForecast]:
    """Yield the naive forecasts of windows, the last one the best to be expected; none where a target has no past.

    Args:
        numbers: [row, time, channel] of windows, as the source has them.
        facts: facts of the windows.
    """
    if not (places := facts.forecast_past):
        return
    past = _fill_gaps(numbers[:, :, list(places)].astype(np.float64))
    yield NaiveForecast("last_value", "the last value as forecast", np.repeat(past[:, -1, :], facts.horizon, axis=1))
    if (season := facts.season) is not None:
        rows, name = season
        at = [past.shape[1] - rows + ahead % rows for ahead in range(facts.horizon)]
        values = past[:, at, :].transpose(0, 2, 1).reshape(len(past), -1)
        yield NaiveForecast("seasonal_naive", f"the value of a {name} before as forecast", values)


def describe_naive_forecasts(raw: RawData, labels: Labels, split: Split) -> tuple[str, ...]:
    """Return a note with the errors of naive forecasts on validation rows; none where the target has no past."""
    if raw.windows is None or raw.array is None or labels.classes or labels.kind == "custom":
        return ()
    rows = np.concatenate([split.select_rows("validation", fold) for fold in range(split.folds)])
    found = [
        f"{each.label} has {_describe_error(each.values, labels.y[rows])}"
        for each in make_naive_forecasts(raw.array[rows], raw.windows.facts)
    ]
    return (f"on validation rows {', '.join(found)}; a model should be better",) if found else ()


def _fill_gaps(past: Array) -> Array:
    """Return the past [row, time, target] with the last known value in each gap; a gap at its begin stays."""
    known = np.isfinite(past)
    at = np.maximum.accumulate(np.where(known, np.arange(past.shape[1])[None, :, None], 0), axis=1)
    filled: Array = np.take_along_axis(past, at, axis=1)
    return filled


def _describe_error(forecast: Array, y: Array) -> str:
    error = forecast - y
    error = error[np.isfinite(error)]
    if not len(error):
        return "no value"
    return f"a mean absolute error of {np.abs(error).mean():.4g} (root mean squared {np.sqrt((error**2).mean()):.4g})"
