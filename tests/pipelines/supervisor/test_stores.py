"""One study on SQLite and on PostgreSQL, side by side."""

from __future__ import annotations

import dataclasses

from desk import Desk
from fake_engine import FakeEngine, training

from pipelines.workspace.home import Home
from tracking.store.database import Store


def score_values(job):
    """Score a trial by its values, as a training would."""
    score = abs(job.values["learning_rate"] - 0.1) ** 0.5
    return (yield from training(job, [score + 2, score, score + 1]))


def run(folder, address):
    """Run a study in two lives, so that the second one's draws depend on what the store has; return its trials."""
    with Store.open(address) as store:
        desk = Desk(store, Home(folder, address))
        for trials in (5, 12):
            desk.run(FakeEngine(score_values), trials=trials, sampler="tpe")
        records = [(type(each).__name__, getattr(each, "number", None)) for each in desk.records()]
        return [dataclasses.replace(trial, resources=None) for trial in desk.trials()], records, desk.queue.get("it")


def test_both_databases_give_the_same_study(tmp_path, postgresql):
    """Values, scores, records for MLflow and the winner are equal, to the last bit."""
    sqlite, server = run(tmp_path / "a", str(tmp_path / "a")), run(tmp_path / "b", postgresql)
    for ours, theirs in zip(sqlite[0], server[0], strict=True):
        assert (ours.number, ours.state, ours.values, ours.params) == (
            theirs.number, theirs.state, theirs.values, theirs.params,
        )  # fmt: skip
    assert len(sqlite[0]) == 12
    assert sqlite[1] == server[1]
    assert (sqlite[2].winner, sqlite[2].best_value, sqlite[2].counts) == (
        server[2].winner, server[2].best_value, server[2].counts,
    )  # fmt: skip
