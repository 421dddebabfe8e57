"""Events of a small study, for tests of their text and their display."""

from __future__ import annotations

from pipelines.data.prepared import DataSummary, Features, Task
from pipelines.study.objective import Objective
from pipelines.supervisor.events import SearchStarted, TrialEnded

DATA = DataSummary(
    source="d.csv",
    task=Task("binary", ("y",), ("no", "yes")),
    features=Features(dense=2),
    raw=(),
    rows={"train": 70, "validation": 20, "test": 0},
    folds=1,
    digest="d",
    encodings={},
)


def search_started(budget=4, done=0, best=None) -> SearchStarted:
    """Return the start of a search."""
    return SearchStarted("s", DATA, Objective("val_accuracy", "maximize"), budget, done, best, workers=2)


def trial_ended(number, value=0.5, state="complete", reason="", is_best=False) -> TrialEnded:
    """Return the end of a trial, after 75 s."""
    return TrialEnded(number, state, value, reason, 75.0, is_best)
