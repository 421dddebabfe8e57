"""Rules for the end of a study: budget, target, patience, total failure, and the outcome."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.search.stopping import decide_outcome, explain_convergence, find_stop_reason
from pipelines.search.trial_summaries import TrialSummary
from pipelines.spec.schema import BudgetSpec
from pipelines.study.objective import Objective

LOSS = Objective("val_loss", "minimize")


def complete(number, value):
    return TrialSummary(number, "complete", value, {}, best_epoch=1)


def failed(number):
    return TrialSummary(number, "failed", None, {}, reason="the shapes do not fit")


@pytest.mark.parametrize(
    ("budget", "elapsed_s", "reason"),
    [
        ({"trials": 3}, 0.0, "3 trials"),
        ({"trials": 1}, 0.0, "3 trials"),
        ({"trials": 9, "time": 60}, 61.0, "time budget of 60 s used up"),
        ({"trials": 9, "target": 0.25}, 0.0, "target 0.25 reached"),
        ({"trials": 9, "patience": 2}, 0.0, "no better score in 2 trials"),
        ({"trials": 9, "time": 60, "target": 0.125, "patience": 3}, 59.0, ""),
    ],
)
def test_a_study_ends_for_the_first_reason_that_holds(budget, elapsed_s, reason):
    """Trials, time, target and patience each end a study; none does before its limit."""
    trials = [complete(0, 0.25), complete(1, 0.5), complete(2, 0.5)]
    assert find_stop_reason(BudgetSpec(**budget), LOSS, trials, trials[0], elapsed_s) == reason


def test_patience_counts_by_the_order_of_ends():
    """A paused trial that went on and became the best ended after trials that started later."""
    best = replace(complete(0, 0.25), ended=50.0)
    before = [TrialSummary(number, "paused", 0.5, {}, ended=10.0 + number) for number in range(1, 9)]
    after = [replace(complete(9, 0.5), ended=60.0), TrialSummary(10, "paused", 0.5, {}, ended=70.0)]
    budget = BudgetSpec(trials=50, patience=2)
    assert find_stop_reason(budget, LOSS, [best, *before], best, 0.0) == ""
    assert find_stop_reason(budget, LOSS, [best, *before, *after], best, 0.0) == "no better score in 2 trials"


def test_a_study_ends_if_its_first_trials_all_fail():
    """Ten failures without any other result end a study; nine do not."""
    trials = [failed(number) for number in range(10)]
    budget = BudgetSpec(trials=50)
    assert find_stop_reason(budget, LOSS, trials[:9], None, 0.0) == ""
    reason = "the first 10 trials all failed, the last one with: the shapes do not fit"
    assert find_stop_reason(budget, LOSS, trials, None, 0.0) == reason
    assert decide_outcome(trials, None, reason) == ("failed", reason)


def test_failures_in_a_row_end_a_study():
    """So many failures in a row as the budget allows end it; running trials and an end in between do not count."""
    budget = BudgetSpec(trials=50, consecutive_failures=3)
    running = TrialSummary(5, "running", None, {})
    trials = [complete(0, 0.5), failed(1), failed(2), failed(3)]
    reason = "3 trials failed in a row, the last one with: the shapes do not fit"
    assert find_stop_reason(budget, LOSS, trials[:3], trials[0], 0.0) == ""
    assert find_stop_reason(budget, LOSS, [*trials, running], trials[0], 0.0) == reason
    assert find_stop_reason(budget, LOSS, [*trials, complete(4, 0.75)], trials[0], 0.0) == ""
    assert find_stop_reason(BudgetSpec(trials=50), LOSS, trials, trials[0], 0.0) == ""
    assert decide_outcome(trials[1:], None, reason) == ("failed", reason)


def test_a_study_without_a_winner_fails():
    """A study with a best trial is finished; without one it fails, and the reason names the last trial."""
    assert decide_outcome([complete(0, 0.5)], complete(0, 0.5), "1 trial") == ("finished", "1 trial")
    state, reason = decide_outcome([failed(0)], None, "1 trial")
    assert (state, reason) == ("failed", "1 trial, and none completed; the last one failed: the shapes do not fit")


@pytest.mark.parametrize(
    ("least", "improvements", "stops"),
    [
        (0.1, (0.09, 0.05, 0.01), True),
        (0.1, (0.1, 0.05, 0.01), False),
        (0.1, (0.01, 0.01), False),
        (None, (0.0, 0.0, 0.0), False),
    ],
)
def test_a_study_stops_when_further_trials_promise_too_little(least, improvements, stops):
    """All of the last estimates must be low, and there must be enough of them."""
    reason = explain_convergence(BudgetSpec(improvement=least), Objective("val_loss", "minimize"), improvements)
    assert bool(reason) == stops
    if stops:
        assert reason == "a further trial is expected to improve val_loss by 0.09, less than budget.improvement 0.1"
