"""Scores of a study's trials at a rung, from their curves.

A complete trial counts at every rung: where early stopping ended it before, its best score stays what it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

from search_spaces.values import Direction


def find_score_at(trial: FrozenTrial, epochs: int) -> float | None:
    """Return a trial's best score in its first epochs; None where it has not trained so many.

    Args:
        trial: with its curve: the best score so far by the number of finished epochs.
        epochs: the number of epochs.
    """
    curve = trial.intermediate_values
    if epochs in curve:
        return curve[epochs]
    is_complete = trial.state == TrialState.COMPLETE
    if not curve:  # of a study of an earlier version
        return trial.values[0] if is_complete else None
    if max(curve) < epochs and not is_complete:
        return None
    return next((curve[point] for point in sorted(curve, reverse=True) if point <= epochs), None)


def rank_at(trials: Iterable[FrozenTrial], epochs: int, direction: Direction) -> list[int]:
    """Return the numbers of the trials that have reached a rung, the best first; of equals the earlier one."""
    sign = 1.0 if direction == "minimize" else -1.0
    scores = ((trial.number, find_score_at(trial, epochs)) for trial in trials)
    return [number for _, number in sorted((sign * score, number) for number, score in scores if score is not None)]
