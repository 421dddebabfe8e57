"""A study as Optuna's documentation writes one for Keras: an objective around `model.fit`, stored in SQLite.

With `--mlflow`, every trial is a nested run with its parameters and, through MLflow's own Keras callback, its epochs,
as MLflow's guides write it.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Any

import keras
import mlflow
import optuna
import task


def suggest(trial: optuna.Trial, family: str, space: str) -> dict[str, Any]:
    """Return a trial's values."""
    values = dict(task.FIXED[family])
    if space == "structure":
        values["depth"] = trial.suggest_int("depth", 1, task.DEPTH[family])
        values["units"] = trial.suggest_categorical("units", task.UNITS[family])
        values["activation"] = trial.suggest_categorical("activation", task.ACTIVATIONS)
        values["optimizer"] = trial.suggest_categorical("optimizer", task.OPTIMIZERS)
        values["batch_size"] = trial.suggest_categorical("batch_size", task.BATCH_SIZES)
    values["learning_rate"] = trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True)
    values["dropout"] = trial.suggest_float("dropout", 0.0, 0.5)
    values["l2"] = trial.suggest_float("l2", 1e-8, 1e-2, log=True)
    return values


def main() -> None:
    """Run the study."""
    logs_to_mlflow = "--mlflow" in sys.argv
    if logs_to_mlflow:
        sys.argv.remove("--mlflow")
    options = task.options()
    x_train, y_train, x_validation, y_validation = task.load(options.data)
    classes = int(y_train.max()) + 1

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        values = suggest(trial, options.family, options.space)
        model = task.build(options.family, values, x_train.shape[1:], classes)
        with mlflow.start_run(nested=True, run_name=f"trial-{trial.number}") if logs_to_mlflow else nullcontext():
            if logs_to_mlflow:
                mlflow.log_params(values)
            history = model.fit(
                x_train,
                y_train,
                validation_data=(x_validation, y_validation),
                batch_size=values["batch_size"],
                epochs=options.epochs,
                verbose=0,
                callbacks=[mlflow.tensorflow.MlflowCallback()] if logs_to_mlflow else [],
            )
            score = min(history.history["val_loss"])
            if logs_to_mlflow:
                mlflow.log_metric("best_val_loss", score)
        task.note(options.to, score)
        return score

    study = optuna.create_study(
        storage=f"sqlite:///{options.to}/optuna.db",
        study_name="peer",
        sampler=optuna.samplers.TPESampler(seed=options.seed),
    )
    if logs_to_mlflow:
        mlflow.set_tracking_uri(f"sqlite:///{options.to}/mlflow.db")
        mlflow.set_experiment("peer")
    with mlflow.start_run(run_name="study") if logs_to_mlflow else nullcontext():
        study.optimize(objective, n_trials=options.trials)
        if logs_to_mlflow:
            mlflow.log_metric("best_val_loss", study.best_value)


if __name__ == "__main__":
    main()
