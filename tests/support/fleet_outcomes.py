"""Both sides of a comparison: what fleets make of trials on JAX, and what Keras's own `fit` makes of each here."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from fleet_cases import FleetRun, Outcome, Setting, Trial

from pipelines.models.build import hypermodel
from pipelines.models.context import ModelContext
from pipelines.models.initial_weights import set_initial_weights
from pipelines.training.fit import fit
from pipelines.training.trainer import TrialError
from search_spaces.hyperparameters import GivenHyperParameters

_SUPPORT = Path(__file__).parent


class FleetOutcomes:
    """The outcomes of fleets, by the run's name; they are trained in one process of their own, at once."""

    def __init__(self, runs: Mapping[str, FleetRun]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            given, results = Path(folder, "runs"), Path(folder, "outcomes")
            given.write_bytes(pickle.dumps(dict(runs)))
            flags = "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=1"
            environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
            environment |= {"NPROC": "1", "PYTHONPATH": os.pathsep.join([str(_SUPPORT), *sys.path])}
            command = [sys.executable, str(_SUPPORT / "fleet_process.py"), str(given), str(results)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            self.by_run: dict[str, dict[str, Outcome]] = pickle.loads(results.read_bytes())


def stock_model(setting: Setting, trial: Trial) -> keras.Model:
    """Return a trial's own Keras model before its training."""
    context = ModelContext(setting.features, setting.task, setting.training, setting.train_rows, setting.per_layer)
    hp = GivenHyperParameters(trial.values)
    model = hypermodel("mlp", context).build(hp)
    set_initial_weights(model, str(hp.values["kernel_initializer"]), trial.seed)
    return model


def stock_outcome(setting: Setting, trial: Trial) -> Outcome:
    """Train a trial by Keras's `fit`; eagerly, as these trainings are shorter than the making of a graph."""
    keras.utils.set_random_seed(trial.seed)
    model = stock_model(setting, trial)
    model.run_eagerly = True
    listener = _Prunes(trial.pruned_at)
    try:
        fitted = fit(
            model,
            setting.rows(),
            trial.schedule(setting),
            metric=setting.metric,
            direction=setting.direction,
            listener=listener,
        )
    except TrialError as error:
        return Outcome(failure=str(error))
    return Outcome(fitted.history, fitted.best_epoch, fitted.pruned, model.get_weights())


class _Prunes:
    def __init__(self, at: int | None) -> None:
        self._at = at

    def batch(self) -> None:
        """A batch is done."""

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """An epoch is done."""
        return epoch == self._at


def assert_alike(ours: Outcome, theirs: Outcome, *, rel: float = 1e-3, absolute: float = 5e-5) -> None:
    """Check that two trainings of one trial came to the same, within these tolerances."""
    assert (ours.failure == "") == (theirs.failure == ""), (ours.failure, theirs.failure)
    assert (len(ours.history), ours.best_epoch, ours.pruned) == (len(theirs.history), theirs.best_epoch, theirs.pruned)
    for epoch, (one, other) in enumerate(zip(ours.history, theirs.history, strict=True)):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rel, absolute, err_msg=f"{name}, epoch {epoch}")
    assert [weight.shape for weight in ours.weights] == [weight.shape for weight in theirs.weights]
    for at, (one_weight, other_weight) in enumerate(zip(ours.weights, theirs.weights, strict=True)):
        np.testing.assert_allclose(one_weight, other_weight, rel, 10 * absolute, err_msg=f"weights {at}")


def assert_identical(ours: Outcome, theirs: Outcome) -> None:
    """Check that two trainings came to the same bits."""
    assert ours.history == theirs.history
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(one, other)
