"""Parts of tests of a search: its settings, ends of trials, and a process that ends in the middle of a call."""

from __future__ import annotations

from small_studies import space_of

from pipelines.search.trial_summaries import TrialSummary
from pipelines.study.objective import Objective

LOSS = Objective("val_loss", "minimize")
RATE = {"type": "float", "low": 1e-4, "high": 1.0, "log": True}


def complete(number, value, params=None):
    return TrialSummary(number, "complete", value, params or {}, best_epoch=1)


def ask_all(search):
    asked = []
    while (next_one := search.ask()) is not None:
        asked.append(next_one)
        search.tell(complete(next_one[0], 1.0))
    return asked


class Cut(Exception):  # noqa: N818  # what a kill would do
    """The process ends here."""


def cut_at(monkeypatch, owner, name, call=1, after=False):
    """Let the process end in the n-th call of a function: before it does anything, or after."""
    real = getattr(owner, name)
    calls = iter(range(1, 1000))

    def cut(*args, **kwargs):
        if next(calls) != call:
            return real(*args, **kwargs)
        monkeypatch.setattr(owner, name, real)
        if after:
            real(*args, **kwargs)
        raise Cut

    monkeypatch.setattr(owner, name, cut)


def with_points(*start_from):
    """Return a space of two parameters that begins with these points."""
    return space_of(
        rate={**RATE, "default": 0.01}, units={"type": "int", "low": 1, "high": 64}, start_from=list(start_from)
    )


def ordered(constraint="first < second"):
    """Return a space of two parameters with a constraint between them."""
    return space_of(
        first={"type": "int", "low": 1, "high": 9},
        second={"type": "int", "low": 1, "high": 9},
        constraints=[constraint],
    )
