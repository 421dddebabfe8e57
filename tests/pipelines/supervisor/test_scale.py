"""Simulated studies of many workers on the real supervisor: exactly the budget, and honest figures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipelines.supervisor.events import TrialBegan, TrialEnded

BENCHMARKS = str(Path(__file__).parents[3] / "benchmarks")


@pytest.fixture(scope="module")
def simulated():
    """The module of the simulated engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import simulated_engine

        yield simulated_engine
    for name in ("simulated_engine", "simulate_scale"):
        sys.modules.pop(name, None)


@pytest.mark.long
@pytest.mark.parametrize(("workers", "pruner"), [(10, "none"), (100, "none"), (40, "median")])
def test_many_workers_end_with_exactly_the_budget(desk, simulated, workers, pruner):
    """However many workers there are: no trial more, none twice, never more at once than workers."""
    clock, trials = simulated.SimulatedClock(), 2 * workers + 30
    engine = simulated.SimulatedEngine(workers, clock, seconds=lambda number: 20.0 + number % 20, epochs=3)
    began, running, most = [], set(), 0
    for event in desk.supervisor(engine, trials=trials, pruner=pruner, clock=clock).run():
        if isinstance(event, TrialBegan):
            began.append(event.number)
            running.add(event.number)
            most = max(most, len(running))
        elif isinstance(event, TrialEnded):
            running.remove(event.number)
    assert (sum(event.trials.values()), len(desk.trials()), most) == (trials, trials, workers)
    assert {trial.state for trial in desk.trials()} <= {"complete", "pruned"}
    assert sorted(began) == list(range(trials))


def test_waiting_takes_no_time(desk, simulated):
    """An hour of training passes in moments, and the clock and the study's time show it."""
    clock = simulated.SimulatedClock()
    engine = simulated.SimulatedEngine(1, clock, seconds=lambda number: 1800.0, epochs=3)
    *_, last = desk.run(engine, trials=2, clock=clock)
    assert 3600.0 <= last.seconds < 3700.0
    assert clock.worked_s < 100.0


@pytest.mark.long
def test_the_simulation_measures_a_study(simulated):
    """Ten workers are busy, nothing is left for MLflow, and all that is spent has a name."""
    from simulate_scale import simulate

    result = simulate(10, 60, epochs=5)
    assert (result.workers, result.trials) == (10, 60)
    assert 0.9 < result.busy <= 1.0
    assert result.supervisor < 0.2
    assert min(result.ask_ms, result.tell_ms, result.record_ms, result.mlflow_ms, result.other_ms) > 0
