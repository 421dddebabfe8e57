"""KerasTuner's oracles: the classes that its tuners ask for trials."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_tuner
from simulation import Searcher, Stretch
from surrogate import EPOCHS, SPACE

_MANY = 100_000


class KerasTunerSearcher(Searcher):
    """A KerasTuner oracle. Its Hyperband trains promoted configurations on from their checkpoints."""

    def __init__(self, sampler: str, seed: int) -> None:
        # Its Hyperband's shortest trial has 2 epochs, one of which the surrogate spends on the untrained network.
        self.shift = int(sampler == "hyperband")
        self._epochs = EPOCHS - self.shift
        self._oracle = _make_oracle(sampler, seed, self._epochs)
        self._folder = tempfile.TemporaryDirectory()
        self._oracle._set_project_dir(self._folder.name, "it")
        self._workers: dict[str, str] = {}
        self._free: list[str] = []
        self._origins: dict[str, str] = {}

    def start(self) -> Stretch | None:
        """Return a trial of the oracle with the epochs that it gives it."""
        worker = self._free.pop() if self._free else f"tuner{len(self._workers)}"
        with contextlib.redirect_stdout(io.StringIO()):
            trial = self._oracle.create_trial(worker)
        if trial.status != "RUNNING":
            self._free.append(worker)
            return None
        self._workers[trial.trial_id] = worker
        values = dict(trial.hyperparameters.values)
        origin = values.get("tuner/trial_id")
        self._origins[trial.trial_id] = self._origins.get(origin, origin) if origin else trial.trial_id
        point = {name: values[name] for name in SPACE}
        first, last = values.get("tuner/initial_epoch", 0), values.get("tuner/epochs", self._epochs)
        return Stretch(self._origins[trial.trial_id], point, first, last, trial)

    def proceed(self, done: Stretch, scores: Sequence[float]) -> None:
        """Record a trial's result."""
        trial = done.token
        with contextlib.redirect_stdout(io.StringIO()):
            self._oracle.update_trial(trial.trial_id, {"val_accuracy": max(scores)}, step=done.last)
            trial.status = "COMPLETED"
            self._oracle.end_trial(trial)
        self._free.append(self._workers.pop(trial.trial_id))


def _make_oracle(sampler: str, seed: int, epochs: int) -> keras_tuner.Oracle:
    oracles = keras_tuner.oracles
    shared = {
        "objective": keras_tuner.Objective("val_accuracy", "max"),
        "seed": seed,
        "hyperparameters": _make_space(),
    }
    if sampler == "hyperband":
        return oracles.HyperbandOracle(max_epochs=epochs, factor=3, hyperband_iterations=_MANY, **shared)
    if sampler == "bayesian":
        return oracles.BayesianOptimizationOracle(max_trials=_MANY, **shared)
    return oracles.RandomSearchOracle(max_trials=_MANY, **shared)


def _make_space() -> keras_tuner.HyperParameters:
    space = keras_tuner.HyperParameters()
    for name, declared in SPACE.items():
        add = space.Int if declared["type"] == "int" else space.Float
        sampling = "log" if declared.get("log") else "linear"
        add(name, declared["low"], declared["high"], sampling=sampling)
    return space
