"""Choice of the winner: the means of retrainings, their intervals, folds and seeds."""

from __future__ import annotations

import pytest

from pipelines.search.trial_summaries import TrialSummary
from pipelines.selection.auto_finalists import is_apart
from pipelines.selection.finalists import REFIT, count_folds, derive_retraining_seed, list_retrainings, rank_finalists
from pipelines.spec.schema import SelectionSpec
from pipelines.study.objective import Objective
from tracking.store.retrainings import Retraining

TRIALS = [TrialSummary(number, "complete", value, {}, best_epoch=1) for number, value in enumerate((0.25, 0.5, 0.125))]


def retraining(number, name, *scores, state="complete"):
    value = scores[0] if scores else None
    return Retraining("it", number, name, 1, state, value, scores, {}, 1, 1.0, 0, 1000)


def test_the_mean_of_retrainings_decides():
    """The finalists are ranked by their means in the objective's direction, not by their scores in the search."""
    selection = SelectionSpec(finalists=2, seeds=2)
    retrainings = [
        retraining(2, "seed-1", 0.75),
        retraining(2, "seed-2", 0.25),
        retraining(0, "seed-1", 0.25),
        retraining(0, "seed-2", 0.5),
        retraining(0, "refit", 0.0),
        retraining(1, "seed-1", 0.0),
    ]
    finalists = rank_finalists(TRIALS, retrainings, selection, Objective("val_loss", "minimize"))
    assert [(each.number, each.mean) for each in finalists] == [(0, 0.375), (2, 0.5)]
    low, high = finalists[0].interval
    assert low < 0.375 < high


def test_an_interval_stays_within_the_metric():
    """No accuracy is above 1 or below 0, and no error below 0, however few the trainings."""
    selection = SelectionSpec(finalists=1, seeds=2)
    retrainings = [retraining(1, "seed-1", 0.9), retraining(1, "seed-2", 0.5)]
    assert rank_finalists(TRIALS, retrainings, selection, Objective("val_accuracy", "maximize"))[0].interval == (0, 1)
    retrainings = [retraining(2, "seed-1", 0.9), retraining(2, "seed-2", 0.5)]
    low, high = rank_finalists(TRIALS, retrainings, selection, Objective("val_mean_squared_error", "minimize"))[
        0
    ].interval
    assert low == 0 and high > 1


@pytest.mark.parametrize(
    ("metric", "first", "others"),
    [("val_accuracy", (90.0, 91.0), (60.0, 95.0)), ("val_signed_error", (-3.0, -2.0), (-1.0, 4.0))],
)
def test_scores_outside_of_what_a_name_promises_have_no_bounds(metric, first, others):
    """A user model's accuracy may be in per cent, and its error have a sign: each interval has its mean within."""
    both = enumerate((first, others))
    retrainings = [retraining(number, f"seed-{1 + at}", each[at]) for number, each in both for at in (0, 1)]
    found = rank_finalists(TRIALS, retrainings, SelectionSpec(finalists=3, seeds=2), Objective(metric, "maximize"))
    assert len(found) == 2
    assert all(each.interval[0] < each.mean < each.interval[1] for each in found)
    assert not is_apart(found)


def test_a_finalist_whose_trainings_all_failed_is_left_out():
    """Failed retrainings have no scores; without finalists in the study file there are none."""
    failed = [retraining(2, "seed-1", state="failed"), retraining(0, "seed-1", 0.5)]
    objective = Objective("val_loss", "minimize")
    assert [each.number for each in rank_finalists(TRIALS, failed, SelectionSpec(finalists=2, seeds=1), objective)] == [
        0
    ]
    assert rank_finalists(TRIALS, failed, SelectionSpec(), objective) == ()


@pytest.mark.parametrize(("name", "folds"), [(REFIT, 1), ("folds-5", 5), ("seed-1", 3)])
def test_a_retraining_has_its_number_of_folds(name, folds):
    """A refit has one fold, `folds-5` five, and another seed as many as the study's trials."""
    assert count_folds(name, 3) == folds


def test_names_and_seeds_of_retrainings():
    """There is one retraining for each seed, or one over folds; their seeds differ."""
    assert list_retrainings(SelectionSpec(finalists=2, seeds=2)) == ("seed-1", "seed-2")
    assert list_retrainings(SelectionSpec(finalists=2, folds=5)) == ("folds-5",)
    assert derive_retraining_seed(1, 2, "seed-1") != derive_retraining_seed(1, 2, "seed-2")
