"""Curves of running trials: their points in Optuna."""

from __future__ import annotations

import optuna
import pytest

from pipelines.search.curves import Curves


@pytest.fixture
def trial():
    """A trial of a study with two objectives, which Optuna's own `report` refuses."""
    return optuna.create_study(directions=["maximize", "minimize"]).ask()


def points(trial):
    return trial.storage.get_trial(trial._trial_id).intermediate_values


def test_a_curve_holds_the_best_score_at_a_few_epochs(trial):
    """A point is the best score so far; rungs and the last epoch have one too."""
    curves = Curves(trial.storage, "maximize", frozenset({7}))
    for epochs, value in enumerate((0.1, 0.5, 0.4, 0.6, 0.9, 0.8, 0.7, 0.2), start=1):
        curves.add(trial, epochs, value)
    assert points(trial) == {1: 0.1, 2: 0.5, 3: 0.5, 4: 0.6, 6: 0.9, 7: 0.9}
    curves.finish(trial)
    assert points(trial)[8] == 0.9


def test_epochs_that_are_reported_again_change_nothing(trial):
    """An attempt after a crash repeats its epochs; the first report stands."""
    curves = Curves(trial.storage, "minimize", frozenset())
    for epochs, value in ((1, 1.0), (2, 0.5), (1, 2.0), (2, 2.0), (3, 0.7)):
        curves.add(trial, epochs, value)
    again = Curves(trial.storage, "minimize", frozenset())
    for epochs, value in ((1, 3.0), (2, 0.4), (3, 0.6), (4, 0.3)):
        again.add(trial, epochs, value)
    assert points(trial) == {1: 1.0, 2: 0.5, 3: 0.5, 4: 0.3}


def test_a_trial_without_epochs_has_no_curve(trial):
    """A trial may fail before its first epoch."""
    Curves(trial.storage, "minimize", frozenset()).finish(trial)
    assert points(trial) == {}
