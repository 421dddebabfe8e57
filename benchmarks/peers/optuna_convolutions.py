"""A study of convolutional networks as a person writes one: Optuna around `model.fit`, recorded in MLflow.

The space is a file of kerastudy's declarations as JSON, and the network the one that its family `cnn` builds: blocks of
convolutions with normalisation, activation and dropout, which pooling or a stride ends, and a dense layer behind them.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import mlflow
import numpy as np
import optuna

POOLINGS = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}
VECTORS = {
    "average": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
    "flatten": keras.layers.Flatten,
}


def suggest(trial: optuna.Trial, space: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's values."""
    values: dict[str, Any] = {}
    for name, declared in space.items():
        if not isinstance(declared, dict | list):
            values[name] = declared
        elif isinstance(declared, list) or "choices" in declared:
            choices = declared if isinstance(declared, list) else declared["choices"]
            values[name] = trial.suggest_categorical(name, choices)
        elif all(values[other] == value for other, value in declared.get("when", {}).items()):
            is_int = declared["type"] == "int"
            # YAML takes 3e-4 for a text.
            low, high = (int(declared[end]) if is_int else float(declared[end]) for end in ("low", "high"))
            draw = trial.suggest_int if is_int else trial.suggest_float
            values[name] = draw(name, low, high, log=declared.get("log", False))
    return values


def build(values: Mapping[str, Any], shape: tuple[int, ...], classes: int) -> keras.Model:
    """Return a compiled classifier."""
    layers, has_norm = keras.layers, values["batch_normalization"]

    def finish(x: Any) -> Any:
        return layers.Activation("relu")(layers.BatchNormalization()(x) if has_norm else x)

    image = x = keras.Input(shape)
    for _ in range(values["blocks"]):
        halving = tuple(2 if side > 1 else 1 for side in x.shape[1:3])
        for position in range(values["convolutions_per_block"], 0, -1):
            strides = halving if values["pooling"] == "stride" and position == 1 else 1
            x = layers.Conv2D(values["filters"], values["kernel_size"], padding="same", strides=strides)(x)
            x = finish(x)
        if values["pooling"] != "stride":
            x = POOLINGS[values["pooling"]](halving)(x)
        x = layers.Dropout(values["dropout"])(x)
    x = VECTORS[values["global_pooling"]]()(x)
    if values["dense_units"]:
        x = layers.Dropout(values["dropout"])(finish(layers.Dense(values["dense_units"])(x)))
    model = keras.Model(image, layers.Dense(classes, activation="softmax")(x))
    arguments = {name: values[name] for name in ("learning_rate", "momentum", "weight_decay") if name in values}
    optimizer = keras.optimizers.get({"class_name": values["optimizer"], "config": arguments})
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="npz of x_train, y_train, x_validation, y_validation")
    parser.add_argument("--space", type=Path, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    space = json.loads(options.space.read_text())
    with np.load(options.data) as rows:
        x, y, *validation = (rows[name] for name in ("x_train", "y_train", "x_validation", "y_validation"))

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        values = suggest(trial, space)
        model = build(values, x.shape[1:], int(y.max()) + 1)
        with mlflow.start_run(nested=True, run_name=f"trial-{trial.number}"):
            mlflow.log_params(values)
            settings = {"batch_size": values["batch_size"], "epochs": values["epochs"], "verbose": 0}
            callbacks = [mlflow.tensorflow.MlflowCallback()]
            history = model.fit(x, y, validation_data=tuple(validation), callbacks=callbacks, **settings)
            score = max(history.history["val_accuracy"])
            mlflow.log_metric("best_val_accuracy", score)
        return float(score)

    mlflow.set_tracking_uri(f"sqlite:///{options.to}/mlflow.db")
    mlflow.set_experiment("peer")
    storage, sampler = f"sqlite:///{options.to}/optuna.db", optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(storage=storage, study_name="peer", direction="maximize", sampler=sampler)
    with mlflow.start_run(run_name="study"):
        study.optimize(objective, n_trials=options.trials)
        mlflow.log_metric("best_val_accuracy", study.best_value)


if __name__ == "__main__":
    main()
