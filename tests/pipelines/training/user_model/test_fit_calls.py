"""Calls of a hypermodel's `fit`: what it may return, and what becomes of that."""

from __future__ import annotations

import pytest
from user_model_jobs import CLASS, HEAD, Supervised, check, problems

from pipelines.training.trial import train_trial

RETURNS = CLASS + "    def fit(self, hp, model, x, y, **kwargs):\n        return {}\n"


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        ("0.5", 0.5),
        ("{'val_loss': 0.25, 'other': 3}", 0.25),
        ("[0.5, {'val_loss': 1.5}]", 1.0),
        ("__import__('numpy').float32(0.5)", 0.5),
    ],
)
def test_what_fit_may_return(job, returned, value):
    """A number, a dictionary with the objective, and the mean of a list of such are scores."""
    channel = Supervised()
    result = train_trial(job("Model", RETURNS.format(returned)), channel).result
    assert result.value == value
    assert [done.metrics["val_loss"] for done in channel.reported] == [value]


@pytest.mark.parametrize(
    ("returned", "path", "expected"),
    [
        ("None", "model", "fit in model.py must return Keras's history, a dictionary of metrics, a number"),
        ("'0.5'", "model", "got str"),
        ("{'accuracy': 0.5}", "objective.metric", "fit in model.py returned no val_loss, only accuracy"),
        ("[]", "model", "got list"),
    ],
)
def test_what_fit_may_not_return(job, returned, path, expected):
    """Anything else is an error that the check finds."""
    ((at, message),) = problems(job("Model", RETURNS.format(returned)))
    assert at == path
    assert expected in message


def test_a_score_that_is_not_finite(job):
    """It fails the trial with its reason, and is no error of the study file."""
    its = job("Model", RETURNS.format("float('inf')"))
    check(its)
    outcome = train_trial(its, Supervised())
    assert (outcome.kind, outcome.reason) == ("failed", "val_loss became inf")


def test_the_mean_of_histories(job):
    """A list of histories, as of several executions, is no new score: the best epoch of all is."""
    fit = "    def fit(self, hp, model, x, y, **kw):\n        return [model.fit(x, y, **kw), model.fit(x, y, **kw)]\n"
    channel = Supervised()
    result = train_trial(job("Model", CLASS + fit), channel).result
    assert [done.epoch for done in channel.reported] == [0, 1]
    assert result.value == min(done.metrics["val_loss"] for done in channel.reported)


def test_a_fit_that_calls_nothing_back_is_one_epoch(job):
    """Nobody knows how often it goes over the rows: the check estimates one epoch and no more, a trial shows one."""
    text = f"{CLASS}\n    def fit(self, hp, model, *args, **kwargs):\n        return 0.5\n".removeprefix(HEAD)
    its = job("Model", text)
    assert (check(its).smallest.epochs, check(its).smallest.epoch_s) == (1, 0.0)
    channel = Supervised()
    train_trial(its, channel)
    assert [(done.epoch, done.of) for done in channel.reported] == [(0, 1)]
