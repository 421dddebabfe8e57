"""Naive forecasts of a study's windows as baselines: the last value, and the value one season before."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Final, Literal

import numpy as np

from pipelines.baselines.results import Baseline
from pipelines.data.array_types import Array
from pipelines.data.prepared_folder import load_window_rows
from pipelines.data.series.naive_forecast import make_naive_forecasts

_PARTS: Final[tuple[Literal["validation", "test"], ...]] = ("validation", "test")


def score_naive(
    data: Path, folds: Sequence[Mapping[str, Array]], measure: Callable[[int, str, Array], float]
) -> tuple[Baseline, ...]:
    """Return the naive forecasts with their scores; none for rows that are no windows with the target's past in them.

    Args:
        data: folder of the prepared data.
        folds: per fold the targets of each part.
        measure: returns the objective, given a fold, a part and predictions in the form of its targets.
    """
    labels, scores = dict[str, str](), dict[tuple[str, str], list[float]]()
    for fold, targets in enumerate(folds):
        # A window whose past is one gap has the mean of the training rows, which is what a model has for it.
        mean = np.nanmean(targets["train"].reshape(len(targets["train"]), -1), axis=0)
        for part in _PARTS:
            windows = load_window_rows(data, part, fold) if part in targets else None
            if windows is None:
                continue
            for each in make_naive_forecasts(windows.numbers, windows.facts):
                labels[each.name] = each.label
                known = np.where(np.isfinite(each.values), each.values, mean).astype(np.float32)
                scores.setdefault((each.name, part), []).append(measure(fold, part, known))
    return tuple(
        Baseline(name, label, value, test if math.isfinite(test) else None)
        for name, label in labels.items()
        if math.isfinite(value := _average(scores, name, "validation"))
        for test in (_average(scores, name, "test"),)
    )


def _average(scores: Mapping[tuple[str, str], Sequence[float]], name: str, part: str) -> float:
    values = scores.get((name, part))
    return fmean(values) if values else math.nan
