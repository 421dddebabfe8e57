"""Outcomes of trials in fleets, and tolerances between them (docs/architecture.md: "Equality and its tolerances")."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fleet_cases import FleetRun, Outcome

_SUPPORT = Path(__file__).parent


@dataclass(frozen=True)
class Tolerance:
    """How close two trainings are: within a share of a number, or within an absolute difference."""

    rel: float
    metric: float
    weight: float


AS_OTHER_TRAINERS = Tolerance(1e-4, metric=1e-5, weight=1e-4)
BUT_FOR_ROUNDING = Tolerance(1e-5, metric=1e-6, weight=2e-6)


def fleet_outcomes(runs: Mapping[str, FleetRun]) -> dict[str, dict[str, Outcome]]:
    """Return the outcomes of fleets, by the names of the run and the trial; one further process trains them all."""
    with tempfile.TemporaryDirectory() as folder:
        given, results = Path(folder, "runs"), Path(folder, "outcomes")
        given.write_bytes(pickle.dumps(dict(runs)))
        environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "NPROC": "1"}
        # What is not a program's own, such as a run that is not compiled, need not be fast.
        environment |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0"}
        environment |= {"PYTHONPATH": os.pathsep.join([str(_SUPPORT), *sys.path])}
        command = [sys.executable, str(_SUPPORT / "fleet_process.py"), str(given), str(results)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        outcomes: dict[str, dict[str, Outcome]] = pickle.loads(results.read_bytes())
    return outcomes


def assert_alike(ours: Outcome, theirs: Outcome, close: Tolerance = AS_OTHER_TRAINERS) -> None:
    """Check that two trainings of one trial came to the same, this close."""
    assert _course(ours) == _course(theirs)
    for epoch, (one, other) in enumerate(zip(ours.history, theirs.history, strict=True)):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_allclose(
                one[name], other[name], close.rel, close.metric, err_msg=f"{name}, epoch {epoch}"
            )
    assert [weight.shape for weight in ours.weights] == [weight.shape for weight in theirs.weights]
    for at, (one_weight, other_weight) in enumerate(zip(ours.weights, theirs.weights, strict=True)):
        np.testing.assert_allclose(one_weight, other_weight, close.rel, close.weight, err_msg=f"weights {at}")


def assert_identical(ours: Outcome, theirs: Outcome) -> None:
    """Check that two trainings came to the same bits."""
    assert _course(ours) == _course(theirs)
    assert ours.history == theirs.history
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def _course(outcome: Outcome) -> tuple[int, int, bool, str]:
    return len(outcome.history), outcome.best_epoch, outcome.pruned, outcome.failure
