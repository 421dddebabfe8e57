"""Pruners: their rungs, the rule of the median, and the choice of one."""

from __future__ import annotations

import random

import optuna
import pytest
from desk import SUMMARY
from small_studies import study_of

from pipelines.search.pruners import MedianRule, choose_pruner, compute_rungs
from pipelines.study.context import StudyContext
from pipelines.workspace.home import Home


@pytest.mark.parametrize(
    ("pruner", "epochs", "expected"),
    [
        ("none", 30, set()),
        ("median", 30, {2, 5, 8, 11, 14, 17, 20, 23, 26, 29}),
        ("median", 20, {3, 5, 7, 9, 11, 13, 15, 17, 19}),
        ("patience", 5, {2, 3, 4}),
        ("median", 2, set()),
        ("hyperband", 30, {2, 8, 26}),
        ("hyperband", 100, {4, 14, 44}),
        ("hyperband", 2, set()),
        ("asha", 3, set()),
        ("asha", 9, {2}),
        ("asha", 27, {2, 8}),
        ("asha", 60, {6, 19}),
        ("asha", 100, {10, 32}),
        ("asha", 4, {2}),
    ],
)
def test_rungs(pruner, epochs, expected):
    """None is before 3 epochs or a twentieth of them; ASHA has a ninth and a third. They are counted from 0."""
    assert compute_rungs(pruner, epochs) == expected


# The median -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_median_rule_is_optunas(seed, direction):
    """Of trials that reach every rung the rule ends those that Optuna's pruner ends."""
    chance = random.Random(seed)
    study = optuna.create_study(direction=direction)
    theirs = optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=4)
    rule = MedianRule(direction, startup_trials=3, warmup_epochs=4)
    best = min if direction == "minimize" else max
    pruned = 0
    for _ in range(25):
        trial = study.ask()
        scores = [chance.choice((0.5, chance.random())) for _ in range(10)]
        for epochs in range(1, 11):
            trial.report(best(scores[:epochs]), epochs)
            if epochs % 2 == 0:
                frozen = study.trials[trial.number]
                ends = rule.prunes(frozen, epochs, study.trials)
                assert ends == theirs.prune(study, frozen)
                if ends:
                    pruned += 1
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
        else:
            study.tell(trial, best(scores))
    assert pruned


def test_patience_ends_only_trials_that_stand_still():
    """A trial worse than the median goes on if it has improved since the rung before."""
    rule = MedianRule("minimize", startup_trials=1, warmup_epochs=0, needs_standstill=True, rungs=(3, 6))
    done = optuna.trial.create_trial(value=0.1, intermediate_values={3: 0.2, 6: 0.1})
    running = {"state": optuna.trial.TrialState.RUNNING}
    still = optuna.trial.create_trial(**running, intermediate_values={3: 0.5, 6: 0.5})
    better = optuna.trial.create_trial(**running, intermediate_values={3: 0.5, 6: 0.4})
    assert [rule.prunes(each, 6, [done, each]) for each in (still, better)] == [True, False]
    assert not rule.prunes(still, 3, [done, still]), "there is no rung before the first"


# The choice -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "name", "why"),
    [
        ("", "asha", "there are 30 trials of up to 60 epochs"),
        ("budget: {trials: 8}", "none", "8 trials are fewer than 9"),
        ("space: {units: {type: int, low: 4, high: 64}, epochs: 8}", "median", "8 epochs are fewer than 9"),
        ("space: {units: {type: int, low: 4, high: 64}, epochs: 3}", "none", "before its 3rd epoch"),
        ("space: {units: 8, epochs: 60}", "none", "the study searches nothing"),
        ("objectives: [{metric: val_loss}, {metric: parameters}]", "none", "may be the best in another"),
    ],
)
def test_auto_chooses_by_epochs_and_budget(changes, name, why, tmp_path):
    """The reason is in the line that a run prints, with the key that changes it."""
    text = "study: it\ndata: {source: data.csv, target: y}\nmodel: mlp\n" + changes
    if "space" not in changes:
        text += "\nspace: {units: {type: int, low: 4, high: 64}, epochs: 60}"
    study = study_of(text)
    choice = choose_pruner(StudyContext.from_study(study, SUMMARY, Home(tmp_path, str(tmp_path))))
    assert choice.name == name
    assert "search.pruner is auto" in choice.reason
    assert why in choice.reason


def test_a_pruner_that_is_named_is_taken(tmp_path):
    """Whatever its study is like."""
    study = study_of("study: it\ndata: {source: data.csv, target: y}\nmodel: mlp\nsearch: {pruner: median}")
    choice = choose_pruner(StudyContext.from_study(study, SUMMARY, Home(tmp_path, str(tmp_path))))
    assert choice.name == "median"
    assert "auto" not in choice.reason
