"""A peer's search on real data for so many seconds: KerasTuner's tuners, or Optuna around `model.fit`.

Space, network, standardised rows, epochs and early stopping are those of the kerastudy study beside it. The best
model of the best epoch is scored on the test rows. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import optuna
import task

ACTIVATIONS = ["relu", "tanh", "silu"]
BATCH_SIZES = [32, 64, 128]
FILTERS = [8, 16, 32]
PATIENCE = 8


class OutOfTime(BaseException):  # the tuners catch exceptions
    """The budget is spent."""


class Search:
    """The rows, and the best model so far.

    Args:
        file: npz of x and y of the three parts.
        is_regression: whether the target is a number.
    """

    def __init__(self, file: Path, family: str, is_regression: bool, epochs: int, seconds: float) -> None:
        with np.load(file) as rows:
            self.rows = {name: rows[name] for name in rows.files}
        self.family, self.is_regression, self.epochs = family, is_regression, epochs
        self.best, self.test, self.trials, self.trained = float("inf"), float("nan"), 0, 0
        self.began = time.monotonic()
        self.end = self.began + seconds

    def build(self, values: dict[str, Any]) -> keras.Model:
        """Return a compiled network."""
        shape = self.rows["x_train"].shape[1:]
        if not self.is_regression:
            return task.build(self.family, values, shape, int(self.rows["y_train"].max()) + 1)
        model = task.build(self.family, values, shape, 2)
        model.pop()
        model.add(keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(values["l2"])))
        model.compile(type(model.optimizer)(values["learning_rate"]), "mse", metrics=["root_mean_squared_error"])
        return model

    @property
    def metric(self) -> str:
        """Return Keras's name of the objective."""
        return "val_root_mean_squared_error" if self.is_regression else "val_accuracy"

    def train(
        self, model: keras.Model, batch_size: int, *, epochs: int, first: int = 0, callbacks: Sequence[Any] = ()
    ) -> keras.callbacks.History:
        """Train a model with early stopping; keep its test score where it leads."""
        return model.fit(
            self.rows["x_train"],
            self.rows["y_train"],
            validation_data=(self.rows["x_validation"], self.rows["y_validation"]),
            batch_size=batch_size,
            epochs=epochs,
            initial_epoch=first,
            verbose=0,
            callbacks=[_Watch(self), *callbacks],
        )

    def score(self, model: keras.Model, part: str) -> float:
        """Return the accuracy, or the root mean squared error in standard deviations of the target."""
        found = model.evaluate(self.rows[f"x_{part}"], self.rows[f"y_{part}"], verbose=0, return_dict=True)
        return float(found[self.metric.removeprefix("val_")])


class _Watch(keras.callbacks.Callback):
    """Early stopping, the budget, and the test score of the best epoch of all trials, by the objective."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search
        self._sign = 1 if search.is_regression else -1
        self._best, self._since = float("inf"), 0
        search.trials += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Score the epoch."""
        search, score = self._search, self._sign * (logs or {})[self._search.metric]
        search.trained += 1
        self._since += 1
        if score < self._best:
            self._best, self._since = score, 0
            if score < search.best:
                search.best, search.test = score, search.score(self.model, "test")
        if time.monotonic() > search.end:
            raise OutOfTime
        if self._since >= PATIENCE:
            self.model.stop_training = True


class _Prune(keras.callbacks.Callback):
    def __init__(self, trial: optuna.Trial, metric: str, choose: Any) -> None:
        super().__init__()
        self._trial, self._metric, self._choose = trial, metric, choose
        self.best: float | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Report the best score so far."""
        score = (logs or {})[self._metric]
        self.best = score if self.best is None else self._choose(self.best, score)
        self._trial.report(self.best, epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned


def run_optuna(search: Search, seed: int) -> None:
    """Search with TPE and the median pruner."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    choose = min if search.is_regression else max

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        values = {
            "activation": trial.suggest_categorical("activation", ACTIVATIONS),
            "optimizer": trial.suggest_categorical("optimizer", ["adam", "sgd"]),
            "batch_size": trial.suggest_categorical("batch_size", BATCH_SIZES),
            "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
            "l2": trial.suggest_float("l2", 1e-8, 1e-2, log=True),
        }
        if search.family == "mlp":
            values["depth"] = trial.suggest_int("depth", 1, 4)
            values["units"] = trial.suggest_int("units", 16, 256, log=True)
        else:
            values["depth"] = trial.suggest_int("depth", 1, 2)
            values["units"] = trial.suggest_categorical("units", FILTERS)
        watch = _Prune(trial, search.metric, choose)
        search.train(search.build(values), values["batch_size"], epochs=search.epochs, callbacks=[watch])
        assert watch.best is not None
        return watch.best

    optuna.create_study(
        direction="minimize" if search.is_regression else "maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=search.epochs // 5),
    ).optimize(objective)


class _Network(keras_tuner.HyperModel):
    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return a compiled model."""
        is_mlp = self._search.family == "mlp"
        return self._search.build(
            {
                "depth": hp.Int("depth", 1, 4 if is_mlp else 2),
                "units": hp.Int("units", 16, 256, sampling="log") if is_mlp else hp.Choice("units", FILTERS),
                "activation": hp.Choice("activation", ACTIVATIONS),
                "optimizer": hp.Choice("optimizer", ["adam", "sgd"]),
                "learning_rate": hp.Float("learning_rate", 3e-4, 3e-2, sampling="log"),
                "dropout": hp.Float("dropout", 0.0, 0.5),
                "l2": hp.Float("l2", 1e-8, 1e-2, sampling="log"),
            }
        )

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, **kwargs: Any) -> keras.callbacks.History:
        """Train."""
        return self._search.train(
            model,
            hp.Choice("batch_size", BATCH_SIZES),
            epochs=kwargs["epochs"],
            first=kwargs.get("initial_epoch", 0),
            callbacks=kwargs["callbacks"],
        )


def run_keras_tuner(search: Search, seed: int, tuner: str, folder: Path) -> None:
    """Search with BayesianOptimization or Hyperband."""
    shared = {
        "objective": keras_tuner.Objective(search.metric, "min" if search.is_regression else "max"),
        "seed": seed,
        "directory": folder,
        "project_name": "peer",
    }
    if tuner == "hyperband":
        made = keras_tuner.Hyperband(_Network(search), max_epochs=search.epochs, hyperband_iterations=1000, **shared)
    else:
        made = keras_tuner.BayesianOptimization(_Network(search), max_trials=100_000, **shared)
    made.search(epochs=search.epochs, verbose=0)


def main() -> None:
    """Search until the time is spent."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tool", choices=("optuna", "keras-tuner-bayesian", "keras-tuner-hyperband"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--family", choices=("mlp", "cnn"), required=True)
    parser.add_argument("--regression", action="store_true")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, required=True, help="an empty folder")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    search = Search(options.data, options.family, options.regression, options.epochs, options.seconds)
    try:
        if options.tool == "optuna":
            run_optuna(search, options.seed)
        else:
            run_keras_tuner(search, options.seed, options.tool.removeprefix("keras-tuner-"), options.to)
    except OutOfTime:
        pass
    best = search.best if search.is_regression else -search.best
    found = {"validation": best, "test": search.test, "trials": search.trials, "epochs": search.trained}
    print(json.dumps({**found, "seconds": time.monotonic() - search.began}))


if __name__ == "__main__":
    main()
