"""Promotion by a model of the curves: a paused trial goes on where it promises more than a new one."""

from __future__ import annotations

import math

import optuna
import pytest

from pipelines.search.gp.freeze_thaw import FreezeThawRule
from pipelines.search.gp.settings import GpSettings
from pipelines.search.trial_summaries import PAUSED
from search_spaces.parse import parse_space_dict
from search_spaces.suggest import make_distributions

SPACE = parse_space_dict({"x": {"type": "float", "low": 0, "high": 1}})
EPOCHS = 27
RULE = FreezeThawRule(GpSettings(0, SPACE, EPOCHS, startup_trials=3), "minimize")


def score(x: float, epochs: int) -> float:
    return (x - 0.6) ** 2 + math.exp(-epochs / 6)


def make_trials(*made):
    """Return trials by `(x, epochs, state)`, whose curves fall to `(x - 0.6)²`."""
    study = optuna.create_study(direction="minimize")
    for x, epochs, state in made:
        curve = {epoch: score(x, epoch) for epoch in (1, 2, 3, 4, 6, 9, 13, 19, 27) if epoch <= epochs}
        study.add_trial(
            optuna.trial.create_trial(
                params={"x": x},
                distributions=make_distributions(SPACE),
                intermediate_values=curve,
                user_attrs={PAUSED: {"state": "paused"}} if state == "paused" else {},
                state=optuna.trial.TrialState.COMPLETE if state == "complete" else optuna.trial.TrialState.RUNNING,
                value=score(x, epochs) if state == "complete" else None,
            )
        )
    return study.get_trials()


def find_paused(made):
    return {number: epochs for number, (_, epochs, state) in enumerate(made) if state == "paused"}


SEEN = [(0.1, 27, "complete"), (0.9, 27, "complete"), (0.3, 27, "complete"), (0.75, 27, "complete")]


def test_the_paused_trial_nearest_to_the_best_goes_on():
    made = [*SEEN, (0.05, 3, "paused"), (0.6, 3, "paused"), (0.98, 3, "paused")]
    assert RULE.choose(find_paused(made), make_trials(*made)) == 5


def test_a_new_trial_starts_where_every_paused_one_is_bad():
    made = [*SEEN, (0.02, 3, "paused"), (0.98, 3, "paused")]
    assert RULE.choose(find_paused(made), make_trials(*made)) is None


def test_a_new_trial_starts_while_too_few_have_a_score():
    made = [(0.6, 3, "paused"), (0.4, 3, "paused")]
    assert RULE.choose(find_paused(made), make_trials(*made)) is None


@pytest.mark.parametrize(("x", "goes_on"), [(0.6, True), (0.02, False)])
def test_a_trial_at_a_rung_goes_on_at_once_only_if_it_promises_most(x, goes_on):
    made = [*SEEN, (0.45, 3, "paused"), (x, 3, "running")]
    assert RULE.goes_on(5, 3, make_trials(*made)) == goes_on


def test_without_a_complete_trial_one_goes_on_to_its_end():
    made = [(0.6, 9, "paused"), (0.4, 3, "paused"), (0.9, 3, "paused")]
    assert RULE.choose_last(find_paused(made), make_trials(*made)) == 0


def test_in_the_end_none_goes_on_that_promises_nothing():
    made = [*SEEN, (0.6, 27, "complete"), (0.02, 9, "paused"), (0.98, 9, "paused")]
    assert RULE.choose_last(find_paused(made), make_trials(*made)) is None
