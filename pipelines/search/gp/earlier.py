"""Observations of an earlier study beside those of the present one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from optuna.distributions import BaseDistribution

from pipelines.search.earlier_trials import EarlierTrial
from pipelines.search.gp.encoding import PointEncoding, Points
from pipelines.search.gp.observations import Curve, Observations, make_observations, measure_progress
from search_spaces.parameters import Fixed, Float, Int
from search_spaces.space import Space
from search_spaces.suggest import INDEX
from search_spaces.values import Value, is_number


def add_earlier_trials(
    seen: Observations,
    trials: Sequence[EarlierTrial],
    space: Space,
    encoding: PointEncoding,
    *,
    sign: float,
    epochs: int,
) -> Observations:
    """Return the observations of a study with those of an earlier one, which are marked.

    A trial that the present space could not hold is left out. So is one that differs from it in what only the present
    study fixes: where no earlier trial has that value, both studies fix it, and the difference is one of the studies.
    Data or training may have changed since, so the earlier scores are moved by the median difference at the points that
    both studies have completed.

    Args:
        seen: of the study.
        trials: of the earlier study.
        space: the declared part of the present space.
        encoding: of its points.
        sign: turns values of the objective into scores, where more is better.
        epochs: the most that a trial of the present study trains.
    """
    curves, fixed = [], _list_fixed(trials, space)
    for trial in trials:
        differs = any(trial.values.get(each.name, each.value) != each.value for each in fixed)
        if differs or space.find_violations(trial.values):
            continue
        row = _encode(trial, space, encoding)
        if row is not None:
            curves.append(_make_curve(trial, row, sign, epochs))
    if not curves:
        return seen
    earlier = make_observations(curves, np.zeros((0, len(encoding.axes))), encoding)
    return Observations(
        np.concatenate([seen.points, earlier.points]),
        np.concatenate([seen.progress, earlier.progress]),
        np.concatenate([seen.scores, earlier.scores + _find_shift(seen, earlier)]),
        seen.pending,
        np.concatenate([seen.is_earlier, np.ones(len(earlier.scores), dtype=bool)]),
        np.concatenate([seen.breaks, earlier.breaks]),
    )


def _list_fixed(trials: Sequence[EarlierTrial], space: Space) -> list[Fixed]:
    """Return the parameters that the present space fixes at a value which the earlier study searched among others."""
    fixed = (each for each in space.declared if isinstance(each, Fixed) and each.name != "epochs")  # a curve has them
    return [each for each in fixed if any(trial.values.get(each.name) == each.value for trial in trials)]


def _encode(trial: EarlierTrial, space: Space, encoding: PointEncoding) -> Points | None:
    values: dict[str, Value] = {}
    for axis in encoding.axes:
        name = axis.name.removesuffix(INDEX)
        if name not in trial.values:
            continue
        value, parameter = trial.values[name], space.parameters.get(name)
        if parameter is not None and not parameter.contains(value):
            return None
        if axis.name.endswith(INDEX) and isinstance(parameter, Int | Float) and is_number(value):
            value = parameter.find_index(value)
        if not _contains(axis.distribution, value):
            return None
        values[axis.name] = value
    return encoding.encode(values, {axis.name: axis.distribution for axis in encoding.axes}) if values else None


def _contains(distribution: BaseDistribution, value: Value) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except ValueError:  # a choice that it does not offer, or text for a number
        return False


def _make_curve(trial: EarlierTrial, row: Points, sign: float, epochs: int) -> Curve:
    reached = sorted(trial.curve.items())
    if trial.score is not None:
        reached = reached[:-1]
    progress = [measure_progress(epoch, epochs) for epoch, _ in reached]
    scores = [sign * value for _, value in reached]
    if trial.score is not None:
        progress, scores = [*progress, 1.0], [*scores, sign * trial.score]
    return Curve(row, tuple(progress), tuple(scores))


def _find_shift(seen: Observations, earlier: Observations) -> float:
    before = {
        _make_key(point): score
        for point, progress, score in zip(earlier.points, earlier.progress, earlier.scores, strict=True)
        if progress == 1
    }
    shifts = [
        score - before[_make_key(point)]
        for point, progress, score in zip(seen.points, seen.progress, seen.scores, strict=True)
        if progress == 1 and _make_key(point) in before
    ]
    return float(np.median(shifts)) if shifts else 0.0


def _make_key(point: Points) -> tuple[float, ...]:
    # NaN equals nothing.
    return tuple(-1.0 if math.isnan(each) else round(float(each), 9) for each in point)
