"""Payloads of training jobs: values, seeds, rungs."""

from __future__ import annotations

from pathlib import Path

from desk import scores
from fake_engine import FakeEngine

from pipelines.supervisor.trial_jobs import compute_trial_seed


def test_what_a_trial_is_given(desk):
    """A worker gets the values, the seed of its number, the objective, and the rungs of the pruner."""
    engine = FakeEngine(scores(1.0))
    desk.run(engine, trials=2, pruner="median", epochs=5)
    one, two = engine.jobs
    assert set(one.values) == {"learning_rate", "epochs"}
    assert (one.seed, two.seed) == (compute_trial_seed(3, 0), compute_trial_seed(3, 1))
    assert one.seed != two.seed
    assert (one.metric, one.direction) == ("val_loss", "minimize")
    assert one.rungs == {2, 3, 4}
    assert Path(one.folder) == desk.home.locate_trial("it", 0)


def test_a_trials_seed_depends_on_the_study_and_the_number_alone():
    """Seeds are fixed by the study's seed and the trial's number, and fit what seeds may be."""
    assert compute_trial_seed(1, 2) == compute_trial_seed(1, 2)
    seeds = {compute_trial_seed(seed, number) for seed in range(5) for number in range(50)}
    assert len(seeds) == 250
    assert all(0 <= seed < 2**32 for seed in seeds)
