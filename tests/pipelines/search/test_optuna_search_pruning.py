"""Rungs and pruning of a study in Optuna."""

from __future__ import annotations

import pytest
from search_bench import complete

from pipelines.search.trial_summaries import TrialSummary
from pipelines.study.objective import Objective


@pytest.mark.parametrize(("direction", "bad"), [("minimize", 9.0), ("maximize", -9.0)])
def test_the_median_pruner_ends_the_worse_half(search, direction, bad):
    """A trial worse than the median at a rung is pruned; one that is better goes on."""
    it = search(objective=Objective("m", direction), pruner="median", startup_trials=8)
    for score in (1.0, 2.0, 3.0, 4.0):
        number, _ = it.ask()
        assert it.decide_at_rung(number, 9, score) == "go_on", "nothing is pruned before there are some to compare with"
        it.tell(complete(number, score))
    good, _ = it.ask()
    assert it.decide_at_rung(good, 9, 2.4 if direction == "minimize" else 2.6) == "go_on"
    poor, _ = it.ask()
    assert it.decide_at_rung(poor, 9, bad) == "prune"


def test_hyperband_ends_bad_trials_and_no_good_one(search):
    """Of many trials Hyperband lets the best go to the end and cuts most of the bad ones short."""
    it = search(pruner="hyperband", epochs=27)
    steps = sorted(it.rungs)
    pruned_at = {}
    for number in range(30):
        it.ask()
        score = 1.0 if number in (0, 29) else 2.0 + number
        for epoch in steps[:-1]:
            if it.decide_at_rung(number, epoch, score) == "prune":
                pruned_at[number] = epoch
                it.tell(TrialSummary(number, "pruned", score, {}))
                break
        else:
            it.tell(complete(number, score))
    assert 0 not in pruned_at
    assert 29 not in pruned_at
    assert len(pruned_at) > 10


def test_no_pruner_prunes_nothing(search):
    """`pruner: none` lets every trial go on."""
    it = search(pruner="none")
    for _ in range(6):
        number, _values = it.ask()
        assert it.decide_at_rung(number, 9, 1.0) == "go_on"
        it.tell(complete(number, 1.0))
    worst, _ = it.ask()
    assert it.decide_at_rung(worst, 9, 1e9) == "go_on"


def test_a_rung_may_be_reached_again_after_a_crash(search):
    """The second attempt of a trial repeats its reports; Optuna keeps the first."""
    it = search(pruner="median", startup_trials=2)
    it.ask()
    it.decide_at_rung(0, 9, 1.0)
    again = search(pruner="median", startup_trials=2)
    list(again.resume_interrupted())
    assert again.decide_at_rung(0, 9, 1.0) == "go_on"


@pytest.mark.parametrize(("value", "fits", "leads"), [(0.4, True, True), (0.6, True, False), (0.6, False, True)])
def test_a_paused_trial_leads_the_complete_ones_that_can_win(search, value, fits, leads):
    """The complete trial has 0.5; where the space could no longer have drawn it, it is none to compare with."""
    it = search(pruner="asha")
    (first, values), (second, others) = it.ask(), it.ask()
    it.tell(TrialSummary(first, "complete", 0.5, values, fits=fits))
    assert it.choose_leader() is None
    it.pause(TrialSummary(second, "paused", value, others, epochs=3))
    assert (it.choose_leader() == second) == leads
