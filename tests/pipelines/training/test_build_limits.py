"""Bounds on building a model: how many weights it may make, and how long it may take."""

from __future__ import annotations

import signal
import time

import keras
import pytest

from pipelines.training.build_limits import TimeIsUp, limit_seconds, limit_weights
from pipelines.training.errors import ModelTooLargeError


def dense(units):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units), keras.layers.BatchNormalization()])


def test_as_many_weights_as_allowed_are_made():
    """The bound counts the numbers of all weights, and is gone behind its block."""
    weights = dense(5).count_params()
    with limit_weights(weights, "too many"):
        dense(5)
    with pytest.raises(ModelTooLargeError, match="too many"), limit_weights(weights - 1, "too many"):
        dense(5)
    dense(50)


def test_a_weight_above_the_bound_takes_no_memory():
    """Terabytes are refused at once."""
    with pytest.raises(ModelTooLargeError), limit_weights(10**6, "too many"):
        dense(10**12)


def test_no_bound_is_none():
    """Without a number nothing is counted."""
    with limit_weights(None, "too many"):
        dense(5)


def test_time_that_is_up_ends_the_work():
    """What swallows errors is ended as well, and so is what swallows the first end."""
    swallowed = []
    with pytest.raises(TimeIsUp), limit_seconds(0.05):
        while True:
            try:
                time.sleep(10)
            except Exception:
                swallowed.append("an error")
            except TimeIsUp:
                if swallowed:
                    raise
                swallowed.append("the end")
    assert swallowed == ["the end"]


def test_time_that_is_left_ends_nothing():
    """Behind its block the bound is gone, and a clock that ran before runs on."""
    rang = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rang.append(number))
    timer = signal.setitimer(signal.ITIMER_REAL, 50)
    try:
        with limit_seconds(60):
            pass
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
        signal.raise_signal(signal.SIGALRM)
        assert rang == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)
