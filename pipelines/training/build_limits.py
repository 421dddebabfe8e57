"""Bounds on building a model that nobody knows the size of: how many weights it may make, how long it may take."""

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

_AGAIN_S = 1.0


class TimeIsUp(BaseException):  # no error; and a person's `except Exception` must not catch it
    """The time is up."""


@contextmanager
def limit_weights(most: int | None, reason: str) -> Iterator[None]:
    """Refuse the weight that brings those made in here above `most` numbers, before memory is taken for it.

    Raises:
        ModelTooLargeError: with the reason.
    """
    if most is None:
        yield
        return
    made = 0
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
    """End what runs in here when the time is up; a single call of a library that never comes back is not ended.

    Only a process's main thread can be ended so; in another one there is no bound.

    Raises:
        TookTooLong: when the time is up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeIsUp

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, end)
    # Again and again, since a library's callback may swallow what is raised in it.
    left_before, _ = signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), _AGAIN_S)
    try:
        yield
    finally:
        left = max(1e-3, left_before - (time.monotonic() - began)) if left_before else 0.0
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, left)
