"""ASHA's rule of promotion, against a plain simulation; the order in which trials go on at the end of a study."""

from __future__ import annotations

import math
import random
from collections import Counter

import optuna
import pytest
from optuna.trial import TrialState

from pipelines.search.promotion import AshaRule
from pipelines.search.rung_scores import find_score_at, rank_at

RUNGS, MOST = (3, 9), 27


def trial(number, curve, state=TrialState.RUNNING):
    """Return a trial with a curve: its best score by the number of finished epochs."""
    made = optuna.trial.create_trial(
        state=state,
        values=[list(curve.values())[-1]] if state == TrialState.COMPLETE else None,
        intermediate_values=curve,
    )
    made.number = number
    return made


class Plain:
    """ASHA written down plainly: promoted sets and scores by rung, as in the paper's Algorithm 2."""

    def __init__(self, reduction=3):
        self.reduction = reduction
        self.scores = {rung: {} for rung in RUNGS}
        self.promoted = {rung: set() for rung in RUNGS}

    def top(self, rung):
        ordered = sorted(self.scores[rung], key=lambda number: (self.scores[rung][number], number))
        return ordered[: len(ordered) // self.reduction]

    def find_promotable(self):
        for rung in reversed(RUNGS):
            for number in self.top(rung):
                if number not in self.promoted[rung]:
                    return number, rung
        return None


@pytest.mark.parametrize("seed", range(20))
def test_the_rule_promotes_as_the_paper_does(seed):
    """With one trial at a time every decision is that of the plain algorithm."""
    chance, plain, rule = random.Random(seed), Plain(), AshaRule(RUNGS, 3, "minimize")
    trials, paused = {}, {}
    goal = {number: chance.choice((chance.random(), 0.5)) for number in range(60)}
    for _ in range(90):
        expected = plain.find_promotable()
        chosen = rule.choose(paused, list(trials.values()))
        assert chosen == (expected[0] if expected else None)
        number = len(trials) if chosen is None else chosen
        if number not in goal:
            break
        if chosen is not None:
            plain.promoted[expected[1]].add(chosen)
        before = 0 if chosen is None else paused.pop(chosen)
        rung = next((rung for rung in RUNGS if rung > before), MOST)
        while True:
            curve = {**(trials[number].intermediate_values if number in trials else {}), rung: goal[number] + 1 / rung}
            if rung == MOST:
                trials[number] = trial(number, curve, TrialState.COMPLETE)
                break
            trials[number] = trial(number, curve)
            plain.scores[rung][number] = curve[rung]
            goes_on = rule.goes_on(number, rung, list(trials.values()))
            assert goes_on == (number in plain.top(rung))
            if not goes_on:
                paused[number] = rung
                break
            plain.promoted[rung].add(number)
            rung = next((later for later in RUNGS if later > rung), MOST)
    assert any(each.state == TrialState.COMPLETE for each in trials.values())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [1, 2, 5, 9, 30])
def test_the_end_of_a_study_completes_a_trial(seed, count):
    """Paused trials go on one by one until the best are complete; none that is hopeless is among them."""
    chance, rule = random.Random(seed), AshaRule(RUNGS, 3, "maximize")
    goal = [chance.random() for _ in range(count)]
    trials = {number: trial(number, {3: goal[number]}) for number in range(count)}
    paused = dict.fromkeys(range(count), 3)
    while (number := rule.choose_last(paused, list(trials.values()))) is not None:
        assert number not in rule.find_hopeless(paused, list(trials.values()), count)
        reached = next((rung for rung in RUNGS if rung > paused[number]), MOST)
        curve = {**trials[number].intermediate_values, reached: goal[number]}
        if reached == MOST:
            del paused[number]
        else:
            paused[number] = reached
        trials[number] = trial(number, curve, TrialState.COMPLETE if reached == MOST else TrialState.RUNNING)
    complete = {number for number, each in trials.items() if each.state == TrialState.COMPLETE}
    assert max(range(count), key=goal.__getitem__) in complete
    # A third goes on at each of two rungs, rounded up.
    assert len(complete) == math.ceil(math.ceil(count / 3) / 3)


def test_no_trial_goes_on_before_the_others_have_come():
    """The number that goes on is rounded up only where no running trial can still reach the rung."""
    rule = AshaRule(RUNGS, 3, "minimize")
    trials = [trial(0, {3: 0.5}), trial(1, {3: 0.6}), trial(2, {2: 0.1})]
    assert rule.choose_last({0: 3, 1: 3}, trials) is None
    trials[2] = trial(2, {3: 0.1})
    assert rule.choose_last({0: 3, 1: 3, 2: 3}, trials) == 2


def test_a_hopeless_trial_has_too_many_better_ones():
    """Of nine trials three can go on: the fourth of a rung never does, nor the second of the last rung."""
    rule = AshaRule(RUNGS, 3, "minimize")
    trials = [trial(number, {3: float(number)}) for number in range(4)]
    paused = dict.fromkeys(range(4), 3)
    assert rule.find_hopeless(paused, trials, 9) == [3]
    assert rule.find_hopeless(paused, trials, 12) == []
    # A trial that failed before the rung leaves fewer to reach it.
    failed = [trial(number, {1: 9.0}, TrialState.FAIL) for number in range(4, 7)]
    assert rule.find_hopeless(paused, [*trials, *failed], 9) == [2, 3]


def test_a_trial_that_ended_early_counts_at_every_rung():
    """Early stopping ended it: its score would not change. A pruned trial counts at the rungs that it reached."""
    done, pruned = trial(0, {3: 0.5, 5: 0.4}, TrialState.COMPLETE), trial(1, {3: 0.6}, TrialState.PRUNED)
    assert [find_score_at(done, epochs) for epochs in (3, 4, 9)] == [0.5, 0.5, 0.4]
    assert [find_score_at(pruned, epochs) for epochs in (3, 9)] == [0.6, None]
    assert rank_at([pruned, done], 9, "minimize") == [0]


def test_rungs_of_another_number_of_epochs():
    """A trial that was paused when a study had other epochs is compared at the rung below."""
    rule = AshaRule((5, 15), 3, "minimize")
    trials = [trial(number, {3: number / 10, 7: number / 10}) for number in range(3)]
    assert rule.choose({0: 7, 1: 7, 2: 7}, trials) == 0
    assert Counter(rule.find_hopeless({0: 7, 1: 7, 2: 7}, trials, 3)) == Counter([1, 2])
