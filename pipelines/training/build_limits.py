"""Limits on building a model of unknown size: number of weights, and time."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from types import FrameType
from typing import Any

import keras

from pipelines.training.errors import ModelTooLargeError

_AGAIN_S = 1.0  # seconds between two signals after the limit


class TimeIsUp(BaseException):  # no error; and an `except Exception` in user code must not catch it
    """The time limit is reached."""


@contextmanager
def limit_weights(most: int | None, reason: str) -> Iterator[None]:
    """Refuse the weight that brings those created in this block above `most` numbers, before memory is allocated.

    Raises:
        ModelTooLargeError: with the reason.
    """
    if most is None:
        yield
        return
    made = 0
    # Keras has no hook for new weights. Its layers create them by this method, before they allocate anything.
    add = keras.layers.Layer.add_weight

    def add_weight(layer: keras.layers.Layer, shape: Any = None, *args: Any, **keywords: Any) -> Any:
        nonlocal made
        made += prod(shape) if isinstance(shape, tuple | list) else int(shape or 1)
        if made > most:
            raise ModelTooLargeError(reason)
        return add(layer, shape, *args, **keywords)

    keras.layers.Layer.add_weight = add_weight
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = add


@contextmanager
def limit_seconds(seconds: float) -> Iterator[None]:
    """End the code of this block at a time limit; a single library call that never returns is not ended.

    Only a process's main thread can be ended so; in another one there is no limit.

    Raises:
        TimeIsUp: at the limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeIsUp

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, end)
    # The timer repeats, since a library may swallow an exception raised in its callback.
    # A time of 0 would turn the timer off.
    left_before, _ = signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), _AGAIN_S)
    try:
        yield
    finally:
        # An outer limit that is overdue by now must still fire.
        left = max(1e-3, left_before - (time.monotonic() - began)) if left_before else 0.0
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, left)
