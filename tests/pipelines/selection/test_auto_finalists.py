"""Trials that cannot be distinguished: by the noise of few rows, for a share of the search's time."""

from __future__ import annotations

import pytest

from pipelines.search.trial_summaries import TrialSummary
from pipelines.selection.auto_finalists import AutoFinalists, find_auto_finalists, is_apart
from pipelines.selection.finalists import Finalist
from pipelines.selection.score_noise import RowCounts
from pipelines.study.objective import Goal, Objective

ACCURACY = Objective("val_accuracy", "maximize")
GOALS = (Goal("val_accuracy", "maximize"), Goal("parameters", "minimize"))


def trials(*values, seconds=1.0):
    return [TrialSummary(number, "complete", value, {}, seconds=seconds) for number, value in enumerate(values)]


def find(ranked, *, rows=100, classes=(), others=50, kept=3, objective=ACCURACY, rounds=3):
    every = [*ranked, *trials(*[0.5] * others)]
    counts = RowCounts(rows, classes)
    return find_auto_finalists(ranked, every, objective, counts=counts, rounds=rounds, kept=kept)


def test_trials_within_the_noise_are_rivals():
    """On a hundred rows an accuracy of 0.95 has a standard error of 0.025; on ten thousand one of 0.002."""
    ranked = trials(0.95, 0.94, 0.9)
    assert [trial.number for trial in find(ranked).rivals] == [0, 1]
    alone = find(ranked, rows=10_000)
    assert (alone.rivals, alone.rounds) == ((), 0)
    assert alone.reason == (
        "val_accuracy on 10,000 rows has a standard error of 0.0022, and the next trial is 0.01 behind; the best "
        "trial wins"
    )


def test_a_rare_class_makes_more_rivals():
    """Areas of 0.95 and 0.91 are apart on two thousand rows, and not if ten of these have the class."""
    ranked, area = trials(0.95, 0.91), Objective("val_auc", "maximize")
    assert find(ranked, rows=2_000, classes=(1_000, 1_000), objective=area).rivals == ()
    rare = find(ranked, rows=2_000, classes=(1_990, 10), objective=area)
    assert [trial.number for trial in rare.rivals] == [0, 1]
    assert rare.reason.startswith("val_auc on 2,000 rows, 10 of the rarest class, has a standard error of 0.043")


def test_a_share_of_the_searchs_time_is_spent():
    """As many rounds as it allows, at most those of the study file; with less than two none begins."""
    ranked = trials(0.95, 0.95, 0.95)
    assert (find(ranked).rounds, len(find(ranked).rivals)) == (2, 3)
    assert find(ranked, others=500).rounds == 3
    few = find(ranked, others=25)
    assert (len(few.rivals), few.rounds, few.trained) == (2, 2, few.rivals)
    none = find(ranked, others=2)
    assert (len(none.rivals), none.rounds, none.trained) == (2, 0, ())
    assert none.reason.endswith(
        "2 further trainings of each take about 4 s, over 15% of the search's time, 0.75 s; selection: {finalists: 2} "
        "trains them all the same"
    )


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"kept": 1}, "tracking.keep_models keeps one model only, which wins"),
        ({"objective": Objective("val_my_score", "maximize")}, "the noise of val_my_score is not known"),
        ({"objective": Objective("val_accuracy", "maximize", GOALS)}, "several objectives is left to its Pareto front"),
    ],
)
def test_some_studies_choose_none(choices, reason):
    """The reason names what the study lacks: two models, a known noise, a single objective."""
    found = find(trials(0.95, 0.95), **choices)
    assert (found.rivals, found.rounds) == ((), 0)
    assert reason in found.reason


def test_a_single_trial_needs_no_choice():
    """It wins, and there is no decision to explain."""
    assert find(trials(0.95)) == AutoFinalists((), 0, "")


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
