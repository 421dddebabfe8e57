"""Trials that cannot be distinguished: by the noise of few rows, for a share of the search's time."""

from __future__ import annotations

import pytest

from pipelines.search.trial_summaries import TrialSummary
from pipelines.selection.auto_finalists import estimate_noise, find_auto_finalists, is_apart
from pipelines.selection.finalists import Finalist
from pipelines.study.objective import Goal, Objective

ACCURACY = Objective("val_accuracy", "maximize")


def trials(*values, seconds=1.0):
    return [TrialSummary(number, "complete", value, {}, seconds=seconds) for number, value in enumerate(values)]


def find(ranked, *, rows=100, others=50, kept=3, objective=ACCURACY, rounds=3):
    every = [*ranked, *trials(*[0.5] * others)]
    return find_auto_finalists(ranked, every, objective, rows=rows, rounds=rounds, kept=kept)


def test_trials_within_the_noise_are_rivals():
    """On a hundred rows an accuracy of 0.95 has a standard error of 0.026; on ten thousand one of 0.002."""
    ranked = trials(0.95, 0.94, 0.9)
    assert [trial.number for trial in find(ranked).rivals] == [0, 1]
    assert find(ranked, rows=10_000) is None


def test_a_share_of_the_searchs_time_is_spent():
    """As many rounds as it allows, at most those of the study file; with less than two none begins."""
    ranked = trials(0.95, 0.95, 0.95)
    assert (find(ranked).rounds, len(find(ranked).rivals)) == (2, 3)
    assert find(ranked, others=500).rounds == 3
    few = find(ranked, others=25)
    assert (len(few.rivals), few.rounds, few.is_affordable) == (2, 2, True)
    none = find(ranked, others=2)
    assert not none.is_affordable
    assert none.describe().endswith("further trainings would take over 15% of the search's time")


@pytest.mark.parametrize("choices", [{"kept": 1}, {"objective": Objective("val_my_score", "maximize")}])
def test_some_studies_choose_none(choices):
    """Where only one model is kept, or nothing is known of the metric's noise."""
    assert find(trials(0.95, 0.95), **choices) is None


def test_several_objectives_choose_none():
    """The Pareto front is what such a study gives."""
    goals = (Goal("val_accuracy", "maximize"), Goal("parameters", "minimize"))
    assert find(trials(0.95, 0.95), objective=Objective("val_accuracy", "maximize", goals)) is None
    assert find(trials(0.95)) is None


@pytest.mark.parametrize(
    ("metric", "value", "noise"),
    [("val_accuracy", 1.0, 0.0135), ("val_root_mean_squared_error", 5.0, 0.3536), ("val_r2_score", 0.9, None)],
)
def test_the_noise_of_a_score(metric, value, noise):
    """A perfect score has some too; a metric without a known spread has none."""
    assert estimate_noise(metric, value, 100) == (noise if noise is None else pytest.approx(noise, abs=1e-4))


def test_a_leader_stands_apart_where_no_interval_touches_its_own():
    """A single training has no interval, and decides nothing."""
    leader, near, far = (
        Finalist(0, 1.0, (0.9, 1.1), (0.9, 1.1)),
        Finalist(1, 1.1, (1.0, 1.2), (1.0, 1.2)),
        Finalist(2, 2.0, (1.9, 2.1), (1.9, 2.1)),
    )
    assert is_apart([leader, far])
    assert not is_apart([leader, near, far])
    assert not is_apart([Finalist(0, 1.0, None, (1.0,)), far])
