"""Length of a training: from the trial's values, the study's early stopping, and a refit."""

from __future__ import annotations

from dataclasses import replace

from pipelines.spec.schema import EarlyStoppingSpec, TrainingSpec
from pipelines.training.messages import TrialJob
from pipelines.training.schedule import make_schedule

JOB = TrialJob(
    study="it",
    number=1,
    values={},
    per_layer=frozenset(),
    seed=2**32 - 1,
    model="mlp",
    training=TrainingSpec(early_stopping=EarlyStoppingSpec(patience=3, min_delta=0.1)),
    data="data",
    folder="trial",
    metric="val_loss",
    direction="minimize",
    rungs=frozenset(),
)


def test_early_stopping_is_that_of_the_study():
    """A study without early stopping has no patience."""
    schedule = make_schedule(JOB, 0, epochs=5, batch_size=16)
    assert (schedule.epochs, schedule.patience, schedule.min_delta, schedule.keeps_last) == (5, 3, 0.1, False)
    never = replace(JOB, training=TrainingSpec(early_stopping=None))
    assert make_schedule(never, 0, epochs=5, batch_size=16).patience is None


def test_a_refit_trains_its_epochs_and_keeps_the_last():
    """Its number of epochs is known, so nothing stops it early; the trial's number of epochs is still the most."""
    schedule = make_schedule(replace(JOB, refit_epochs=4), 0, epochs=10, batch_size=16)
    assert (schedule.epochs, schedule.patience, schedule.keeps_last) == (4, None, True)
    assert make_schedule(replace(JOB, refit_epochs=40), 0, epochs=10, batch_size=16).epochs == 10


def test_each_fold_has_another_seed():
    """The seeds of folds follow each other, and stay below the limit of NumPy."""
    assert [make_schedule(JOB, fold, epochs=1, batch_size=1).seed for fold in range(3)] == [2**32 - 1, 0, 1]
