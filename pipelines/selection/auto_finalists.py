"""Finalists that a study chooses by itself: the best trials, where validation rows are too few to distinguish them.

Scores of few rows are noise to a part, and the best of many is partly luck. Further trainings with other seeds decide
between such trials, for a small share of the search's time, and only while that can change the choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.search.trial_summaries import TrialSummary
from pipelines.selection.finalists import Finalist
from pipelines.selection.score_noise import RowCounts, estimate_noise
from pipelines.study.objective import Objective

# All chosen.
SHARE: Final = 0.15
_MOST: Final = 3
_FEWEST_ROUNDS: Final = 2


@dataclass(frozen=True)
class AutoFinalists:
    """Decision of `selection: auto`.

    Attributes:
        rivals: the best trials that cannot be distinguished, the best first; empty where none is trained again.
        rounds: most trainings of each; 0 where the share of the search's time is too small for a mean.
        reason: why these, or why none, in one line; empty where there are not two trials to choose from.
    """

    rivals: tuple[TrialSummary, ...]
    rounds: int
    reason: str

    @property
    def trained(self) -> tuple[TrialSummary, ...]:
        """Return the trials that are trained again."""
        return self.rivals if self.rounds else ()


def find_auto_finalists(
    ranked: Sequence[TrialSummary],
    trials: Iterable[TrialSummary],
    objective: Objective,
    *,
    counts: RowCounts,
    rounds: int,
    kept: int,
) -> AutoFinalists:
    """Return which of the best trials are trained again, and why.

    Args:
        ranked: the complete trials, the best first.
        trials: all trials of the search.
        objective: the study's objective; of several, none is chosen by retraining.
        counts: validation rows that a score is of.
        rounds: most trainings of each.
        kept: number of the best trials whose models are kept; the winner must be one of them.
    """
    if len(ranked) < 2 or ranked[0].value is None:
        return AutoFinalists((), 0, "")
    if reason := _explain_no_choice(objective, ranked[0].value, counts, kept):
        return AutoFinalists((), 0, reason)
    noise = estimate_noise(objective.metric, ranked[0].value, counts) or 0.0
    near = [trial for trial in ranked[: min(_MOST, kept)] if abs((trial.value or 0.0) - ranked[0].value) <= noise]
    error = f"{objective.metric} on {counts.describe(objective.metric)} has a standard error of {noise:.2g}"
    if len(near) < 2:
        behind = abs((ranked[1].value or 0.0) - ranked[0].value)
        return AutoFinalists((), 0, f"{error}, and the next trial is {behind:.2g} behind; the best trial wins")
    return _share_time(near, SHARE * _sum_seconds(trials), rounds, f"{error}, and they are within it")


def _explain_no_choice(objective: Objective, value: float, counts: RowCounts, kept: int) -> str:
    """Return why no trial of a study is trained again, whatever the scores; empty where one may be."""
    turn_on = "selection: {finalists: 3} trains the best three again"
    if objective.goals:
        return "a study with several objectives is left to its Pareto front"
    if estimate_noise(objective.metric, value, counts) is None:
        return f"the noise of {objective.metric} is not known, and the best trial wins; {turn_on}"
    return "tracking.keep_models keeps one model only, which wins" if kept < 2 else ""


def _share_time(near: list[TrialSummary], allowed_s: float, rounds: int, reason: str) -> AutoFinalists:
    """Return the rivals that the allowed time is enough for, with the rounds that it is enough for."""
    # Two that are trained often show more than three that are trained once.
    while len(near) > 2 and _sum_seconds(near) * _FEWEST_ROUNDS > allowed_s:
        near.pop()
    each_s = _sum_seconds(near)
    possible = min(rounds, int(allowed_s / each_s)) if each_s > 0 else rounds
    if possible < _FEWEST_ROUNDS:
        due = f"{_FEWEST_ROUNDS} further trainings of each take about {_FEWEST_ROUNDS * each_s:.3g} s"
        over = f"{due}, over {SHARE:.0%} of the search's time, {allowed_s:.3g} s"
        hint = f"selection: {{finalists: {len(near)}}} trains them all the same"
        return AutoFinalists(tuple(near), 0, f"{reason}; {over}; {hint}")
    limit = f"at most {SHARE:.0%} of the search's time; selection: {{finalists: 0}} turns it off"
    return AutoFinalists(tuple(near), possible, f"{reason}; {limit}")


def is_apart(finalists: Sequence[Finalist]) -> bool:
    """Return whether the first finalist's interval touches no other's."""
    first, *others = finalists
    if first.interval is None:
        return False
    low, high = first.interval
    return all(each.interval and (each.interval[0] > high or each.interval[1] < low) for each in others)


def _sum_seconds(trials: Iterable[TrialSummary]) -> float:
    return sum(trial.seconds or 0.0 for trial in trials)
