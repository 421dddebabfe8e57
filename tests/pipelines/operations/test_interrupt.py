"""Interruption of a study: what Ctrl-C does."""

from __future__ import annotations

import os
import signal

import pytest

from pipelines.operations.interrupt import handle_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request_and_the_second_is_not(number):
    """The action is called once; afterwards the handlers of before are back, also for the other signal."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    calls = []
    with handle_signals(lambda: calls.append(number)):
        os.kill(os.getpid(), number)
        assert calls == [number]
        assert {each: signal.getsignal(each) for each in before} == before


def test_handlers_are_put_back_without_a_signal():
    """A verb leaves the process as it was, also after an error."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="bad"), handle_signals(lambda: None):
        raise ValueError("bad")
    assert signal.getsignal(signal.SIGINT) == before
