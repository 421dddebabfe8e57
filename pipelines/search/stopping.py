"""Rules over a study's trials: the reasons to start no further trial, and the outcome of the study."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice

from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import BudgetSpec
from pipelines.study.objective import Objective
from tracking.outbox.records import StudyState

ESTIMATES = 3
"""Estimates that must all be low; chosen, as one alone may be low by chance."""

_FIRST_FAILURES = 10  # more would waste hours on a mistake in the study file; fewer could be bad luck


def find_stop_reason(
    budget: BudgetSpec,
    objective: Objective,
    trials: Sequence[TrialSummary],
    best: TrialSummary | None,
    elapsed_s: float,
) -> str:
    """Return the reason to start no further trial; empty while there is none."""
    if len(trials) >= budget.trials:
        # More than the budget after an earlier run with a larger one.
        return "1 trial" if len(trials) == 1 else f"{len(trials)} trials"
    return find_early_reason(budget, objective, trials, best, elapsed_s)


def find_early_reason(
    budget: BudgetSpec,
    objective: Objective,
    trials: Sequence[TrialSummary],
    best: TrialSummary | None,
    elapsed_s: float,
) -> str:
    """Return the reason to train no further trial, paused ones included; empty while there is none."""
    if budget.time is not None and elapsed_s >= budget.time:
        return f"time budget of {budget.time:g} s used up"
    if failures := explain_total_failure(trials) or _explain_failures_in_a_row(budget, trials):
        return failures
    if budget.target is not None and _has_reached(budget.target, objective, trials, best):
        return f"target {budget.target:g} reached"
    if best is None or best.value is None:
        return ""
    if budget.patience is not None and (since := count_trials_since(best, trials)) >= budget.patience:
        return f"no better score in {since} trials"
    return ""


def _has_reached(
    target: float, objective: Objective, trials: Sequence[TrialSummary], best: TrialSummary | None
) -> bool:
    """Return whether the best trial has a score, or a paused one that goes on now or later.

    A trial keeps its best epoch, so what a paused one has reached it also has at its end. Of several objectives, which
    may have bounds, only complete trials have all values.
    """
    paused = [] if objective.goals else [trial for trial in trials if not trial.has_ended]
    scores = [trial.value for trial in (best, *paused) if trial is not None and trial.value is not None]
    # Not `is_better(score, target)`: a score that equals the target reaches it.
    return any(not objective.is_better(target, score) for score in scores)


def explain_convergence(budget: BudgetSpec, objective: Objective, improvements: Collection[float]) -> str:
    """Return a message if no further trial is expected to be better by as much as the budget requires; empty otherwise.

    Args:
        budget: the end of the study.
        objective: the score.
        improvements: what the last trials were expected to gain when they were drawn.
    """
    least = budget.improvement
    if least is None or len(improvements) < ESTIMATES or max(improvements) >= least:
        return ""
    return (
        f"a further trial is expected to improve {objective.metric} by {max(improvements):.2g}, less than "
        f"budget.improvement {least:g}"
    )


def count_trials_since(best: TrialSummary, trials: Sequence[TrialSummary]) -> int:
    """Return how many trials were trained since the best one ended, without a better score."""
    # As the trials have it: `best` is the trial as its end was recorded, without the time.
    best_ended = next((trial.ended for trial in trials if trial.number == best.number), None)

    def is_later(trial: TrialSummary) -> bool:
        if trial.ended is None or best_ended is None:
            return trial.number > best.number
        # A paused trial may have started long before the best one, and gone on after it.
        return trial.number != best.number and trial.ended > best_ended

    return sum(trial.state in ("complete", "pruned", "paused") and is_later(trial) for trial in trials)


def _explain_failures_in_a_row(budget: BudgetSpec, trials: Sequence[TrialSummary]) -> str:
    """Return a message if as many trials in a row failed as the budget allows, in the order of their numbers."""
    if budget.consecutive_failures is None:
        return ""
    last = list(islice((trial for trial in reversed(trials) if trial.has_ended), budget.consecutive_failures))
    if len(last) != budget.consecutive_failures or any(trial.state != "failed" for trial in last):
        return ""
    return f"{len(last)} trials failed in a row, the last one with: {last[0].reason}"


def explain_total_failure(trials: Sequence[TrialSummary]) -> str:
    """Return a message if all of a study's first trials failed; empty otherwise."""
    failed: list[TrialSummary] = []
    for trial in trials:
        # A changed space may be the remedy for those that it leaves out.
        if trial.state == "running" or not trial.fits:
            continue
        if trial.state != "failed":
            return ""
        failed.append(trial)
    if len(failed) < _FIRST_FAILURES:
        return ""
    return f"the first {len(failed)} trials all failed, the last one with: {failed[-1].reason}"


def decide_outcome(trials: Sequence[TrialSummary], best: TrialSummary | None, why: str) -> tuple[StudyState, str]:
    """Return state and reason of a study that ended because of `why`."""
    if best is not None:
        return "finished", why
    ended = [trial for trial in trials if trial.has_ended]
    # Failures are named already, where they ended the search.
    if not ended or (ended[-1].reason and why.endswith(ended[-1].reason)):
        return "failed", why
    if lacking := explain_no_best(trials):
        return "failed", f"{why}, and {lacking}"
    return "failed", f"{why}, and none completed; the last one {ended[-1].state}: {ended[-1].reason}"


def explain_no_best(trials: Sequence[TrialSummary]) -> str:
    """Return why none of the complete trials is the best one; empty where none is complete."""
    complete = [trial for trial in trials if trial.state == "complete"]
    if not complete:
        return ""
    fitting = [trial for trial in complete if trial.fits]
    count = len(fitting or complete)
    which = "the only complete one" if count == 1 else f"each of the {count} complete ones"
    return (
        f"{which} breaks a bound of the objectives" if fitting else f"{which} is outside the space since it was changed"
    )
