"""Summaries of trials: the best one, and counts by state."""

from __future__ import annotations

import math
from dataclasses import replace

from pipelines.search.trial_summaries import TrialSummary, count_by_state, find_best
from pipelines.study.objective import Objective

LOSS = Objective("val_loss", "minimize")


def complete(number, value):
    return TrialSummary(number, "complete", value, {}, best_epoch=1)


def test_the_best_trial_is_complete_and_the_earliest_of_equals():
    """Pruned, failed and running trials are no winners, however good their scores."""
    trials = [
        TrialSummary(0, "pruned", 0.0, {}),
        complete(1, 0.5),
        complete(2, 0.25),
        complete(3, 0.25),
        TrialSummary(4, "failed", None, {}),
        TrialSummary(5, "running", None, {}),
    ]
    assert find_best(trials, LOSS).number == 2
    assert find_best(trials, Objective("m", "maximize")).number == 1
    assert find_best(trials[:1], LOSS) is None
    assert find_best([], LOSS) is None
    assert find_best([complete(0, math.pi)], LOSS).number == 0


def test_of_equal_trials_the_lower_loss_wins():
    """Trials of the same accuracy are told apart by their loss on the validation rows."""
    accuracy = Objective("val_accuracy", "maximize")
    losses = (0.4, 0.2, 0.3)
    trials = [replace(complete(number, 0.9), metrics={"val_loss": loss}) for number, loss in enumerate(losses)]
    assert find_best(trials, accuracy).number == 1
    assert find_best([*trials, complete(3, 0.95)], accuracy).number == 3


def test_count_by_state_names_states_that_occur():
    """Counts are sorted by state; states without trials are left out."""
    trials = [complete(0, 1.0), TrialSummary(1, "failed", None, {}), complete(2, 1.0)]
    assert count_by_state(trials) == {"complete": 2, "failed": 1}
    assert list(count_by_state(trials)) == ["complete", "failed"]
