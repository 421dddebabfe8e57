"""Interruption of a study at work: the first Ctrl-C requests an end, the second one forces it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def handle_signals(action: Callable[[], None]) -> Iterator[None]:
    """Call `action` at the first SIGINT or SIGTERM; a second one ends the process as usual.

    Outside of the main thread, which alone receives signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        # Before the action, which may take long: a second Ctrl-C must end the process in any case.
        for each, handler in before.items():
            signal.signal(each, handler)
        action()

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
