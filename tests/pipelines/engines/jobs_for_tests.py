"""Jobs that misbehave in every way a training can."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np

from search_spaces.errors import InputError, KerastudyError, Problem


def echo(payload, channel):
    channel.report(payload)
    print("printed by the job")
    os.write(2, b"written below Python\n")
    return channel.ask("which?")


def slow_but_alive(payload, channel):
    for _ in range(8):
        time.sleep(0.5)
        channel.beat()
    return "done"


def killed(payload, channel):
    os.kill(os.getpid(), signal.SIGKILL)


def exits(payload, channel):
    os._exit(7)


def segfault(payload, channel):
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(payload, channel):
    time.sleep(600)


def busy(payload, channel):
    while True:
        channel.beat()
        time.sleep(0.1)


def allocate(payload, channel):
    return float(np.ones(10**10).sum())


def grow(payload, channel):
    kept = []
    while True:
        kept.append(np.ones(10**6))
        channel.beat()
        time.sleep(0.01)


def fails(payload, channel):
    raise ValueError("first line\nsecond line")


def says(payload, channel):
    raise KerastudyError("loss became nan in epoch 1")


def refuses(payload, channel):
    raise InputError(Problem("no such column", "data.target"))


def quits(payload, channel):
    sys.exit(3)


def process(payload, channel):
    return os.getpid()
