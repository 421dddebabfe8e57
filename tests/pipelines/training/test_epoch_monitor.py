"""Monitor of a training: the best epoch, values that are not finite, the end of patience."""

from __future__ import annotations

import math

import pytest

from pipelines.training.epoch_monitor import EpochMonitor
from pipelines.training.errors import TrialError
from pipelines.training.schedule import Schedule


class Listener:
    """Records epochs, and ends the training at the epochs named."""

    def __init__(self, prune_at=()):
        self.prune_at = prune_at
        self.recorded = []

    def record_batch(self):
        """Ignore the batch."""

    def record_epoch(self, epoch, metrics):
        self.recorded.append((epoch, metrics))
        return "prune" if epoch in self.prune_at else "go_on"


def run_monitor(
    scores, direction="minimize", *, patience=None, min_delta=0.0, listener=None, epochs=None, keeps_last=False
):
    """Return how a training with these scores goes: its result, and the weights of its best epoch."""
    schedule = Schedule(epochs or len(scores), 8, patience, min_delta, seed=0, keeps_last=keeps_last)
    monitor = EpochMonitor(schedule, "val_loss", direction, listener or Listener())
    for epoch, score in enumerate(scores):
        metrics = {"loss": 1.0, "val_loss": score}
        if monitor.observe(epoch, metrics, lambda epoch=epoch: f"weights of epoch {epoch}"):
            break
    return monitor.result()


@pytest.mark.parametrize(
    ("direction", "scores", "best"),
    [
        ("minimize", [3.0, 1.0, 2.0], 1),
        ("maximize", [3.0, 1.0, 2.0], 0),
        ("minimize", [3.0, 1.0, 1.0], 1),
        ("maximize", [-3.0, -1.0, -2.0], 1),
        ("minimize", [5.0], 0),
    ],
)
def test_the_best_epoch_counts(direction, scores, best):
    """A training is scored by its best epoch, the first of equals, and keeps that epoch's weights."""
    fitted, weights = run_monitor(scores, direction)
    assert (fitted.best_epoch, fitted.best_value) == (best, scores[best])
    assert weights == f"weights of epoch {best}"
    assert len(fitted.history) == len(scores)


@pytest.mark.parametrize(
    ("scores", "patience", "min_delta", "epochs"),
    [
        ([3.0, 2.0, 2.0, 2.0, 1.0], 2, 0.0, 4),
        ([3.0, 2.0, 2.0, 1.9, 1.9, 1.9], 2, 0.0, 6),
        ([1.0, 2.0, 0.5], 1, 0.0, 2),
        ([3.0, 2.95, 2.9, 2.85, 2.0], 3, 0.5, 4),
        ([3.0, 2.95, 2.9, 2.4, 2.4, 2.4, 2.4], 3, 0.5, 7),
        ([3.0, 4.0, 5.0, 6.0], None, 0.0, 4),
    ],
)
def test_patience(scores, patience, min_delta, epochs):
    """Training stops after `patience` epochs without an improvement by more than `min_delta`; null never stops it."""
    for direction, sign in (("minimize", 1), ("maximize", -1)):
        fitted, _ = run_monitor([sign * score for score in scores], direction, patience=patience, min_delta=min_delta)
        assert len(fitted.history) == epochs
        assert not fitted.pruned


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_training_that_keeps_its_last_epoch_is_scored_by_it(direction):
    """Whatever the scores are, the epoch counts after which it is to end, and it ends there."""
    fitted, weights = run_monitor([3.0, 1.0, 2.0, 4.0, 0.0], direction, epochs=3, keeps_last=True)
    assert (fitted.best_epoch, fitted.best_value, len(fitted.history)) == (2, 2.0, 3)
    assert weights == "weights of epoch 2"


def test_an_improvement_below_min_delta_is_still_the_best():
    """`min_delta` decides when to stop, not which epoch is best."""
    fitted, weights = run_monitor([3.0, 2.9, 2.8], patience=5, min_delta=1.0)
    assert (fitted.best_epoch, weights) == (2, "weights of epoch 2")


def test_pruning_stops_at_the_rung():
    """The epoch that is answered with "prune" is the last one; the best epoch so far is the score."""
    fitted, weights = run_monitor([3.0, 1.0, 2.0, 0.5], listener=Listener(prune_at=(2,)))
    assert fitted.pruned
    assert len(fitted.history) == 3
    assert (fitted.best_value, weights) == (1.0, "weights of epoch 1")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "val_loss", "val_mae"])
def test_what_is_not_finite_fails_the_trial(name, value):
    """A loss or an objective that is not finite fails the trial and names metric and epoch, counted from 1."""
    monitor = EpochMonitor(Schedule(3, 8, None, 0.0, seed=0), "val_mae", "minimize", Listener())
    good = {"loss": 1.0, "val_loss": 1.0, "val_mae": 1.0}
    monitor.observe(0, good, list)
    with pytest.raises(TrialError, match=f"^{name} became {value} in epoch 2$"):
        monitor.observe(1, {**good, name: value}, list)


def test_other_metrics_that_are_not_finite_are_left_out():
    """A metric that is undefined in an epoch (no rows of a class) costs no trial; what is passed on is finite."""
    listener = Listener()
    monitor = EpochMonitor(Schedule(3, 8, None, 0.0, seed=0), "val_loss", "minimize", listener)
    monitor.observe(0, {"loss": 1.0, "val_loss": 1.0, "val_r2_score": math.nan}, list)
    assert listener.recorded == [(0, {"loss": 1.0, "val_loss": 1.0})]
    assert monitor.result()[0].history == ({"loss": 1.0, "val_loss": 1.0},)


def test_an_objective_that_is_never_reported_fails_the_trial():
    """The reason names the objective and what there is instead."""
    monitor = EpochMonitor(Schedule(3, 8, None, 0.0, seed=0), "val_f1_score", "maximize", Listener())
    with pytest.raises(TrialError, match=r"^training reported no val_f1_score, only loss, val_loss$"):
        monitor.observe(0, {"val_loss": 1.0, "loss": 1.0}, list)


def test_a_training_without_an_epoch_fails():
    """A training that never came to its first epoch's end has no score."""
    monitor = EpochMonitor(Schedule(3, 8, None, 0.0, seed=0), "val_loss", "minimize", Listener())
    with pytest.raises(TrialError, match="before its first epoch"):
        monitor.result()


def test_of_equal_scores_the_lower_loss_counts():
    """Epochs with the same accuracy are told apart by their loss on the validation rows; patience is not renewed."""
    monitor = EpochMonitor(Schedule(4, 8, None, 0.0, seed=0), "val_accuracy", "maximize", Listener())
    for epoch, loss in enumerate([0.9, 0.4, 0.4, 0.7]):
        monitor.observe(epoch, {"loss": 1.0, "val_loss": loss, "val_accuracy": 0.75}, lambda epoch=epoch: epoch)
    result, weights = monitor.result()
    assert (result.best_epoch, result.best_value, weights) == (1, 0.75, 1)
