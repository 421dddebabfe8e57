"""Records that a running study and a backfill build alike: epochs of folds, and the metrics of the best epoch."""

from __future__ import annotations

from dataclasses import replace

from pipelines.recording.records import build_epochs_recorded, collect_best_metrics
from pipelines.search.trial_summaries import TrialSummary
from pipelines.study.objective import Goal, Objective
from pipelines.training.messages import EpochDone


def test_only_the_epochs_of_a_fold_have_its_name():
    """With folds each fold has its metrics, counted from 1; the mean over folds has the plain names."""
    done = [EpochDone(0, 2, 1, 5, {"val_loss": 0.5})]
    [of_fold] = build_epochs_recorded("it", 7, done, 3)
    [of_mean] = build_epochs_recorded("it", 7, done, 3, mean=True)
    [of_trial] = build_epochs_recorded("it", 7, done, 1)
    assert of_fold.epochs == ((0, 5, {"fold_2/val_loss": 0.5}),)
    assert of_mean.epochs == of_trial.epochs == ((0, 5, {"val_loss": 0.5}),)
    assert build_epochs_recorded("it", 7, [], 3) == []
    [of_seed] = build_epochs_recorded("it", 7, done, 1, 2)
    [of_both] = build_epochs_recorded("it", 7, [replace(done[0], fold=4)], 3, 2)
    assert (of_seed.epochs[0][2], of_both.epochs[0][2]) == ({"seed_2/val_loss": 0.5}, {"fold_2_seed_2/val_loss": 0.5})


def test_a_measured_objective_has_its_plain_name():
    """Metrics of the best epoch begin with `best_`; what is measured of the model does not; a failure has neither."""
    goals = (Goal("val_loss", "minimize"), Goal("parameters", "minimize"), Goal("val_accuracy", "maximize"))
    objective = Objective("val_loss", "minimize", goals)
    complete = TrialSummary(0, "complete", 0.5, {}, 3, metrics={"val_loss": 0.5}, goals=(100.0, 0.9))
    pruned = TrialSummary(1, "pruned", 0.6, {}, 1, metrics={"val_loss": 0.6})
    failed = TrialSummary(2, "failed", None, {})
    assert collect_best_metrics(complete, objective) == {"best_val_loss": 0.5, "best_epoch": 3.0, "parameters": 100.0}
    assert collect_best_metrics(pruned, objective) == {"best_val_loss": 0.6, "best_epoch": 1.0}
    assert collect_best_metrics(failed, objective) == {}
