"""What all peers share: their options, the rows, the network, and a note of each finished trial.

The network is the one that kerastudy's families `mlp` and `cnn` build for the same values.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

FIXED = {
    "mlp": {"depth": 2, "units": 64, "activation": "relu", "optimizer": "adam", "batch_size": 32},
    "cnn": {"depth": 2, "units": 16, "activation": "relu", "optimizer": "adam", "batch_size": 32},
}
UNITS = {"mlp": [32, 64, 128], "cnn": [8, 16, 32]}
DEPTH = {"mlp": 3, "cnn": 2}
ACTIVATIONS = ["relu", "tanh"]
OPTIMIZERS = ["adam", "rmsprop", "sgd"]
BATCH_SIZES = [32, 64]


def options() -> argparse.Namespace:
    """Return a peer's command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="npz of x_train, y_train, x_validation, y_validation")
    parser.add_argument("--family", choices=("mlp", "cnn"), required=True)
    parser.add_argument("--space", choices=("structure", "values"), required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, required=True, help="an empty folder")
    return parser.parse_args()


def load(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x and y of the training rows, x and y of the validation rows."""
    with np.load(file) as rows:
        return rows["x_train"], rows["y_train"], rows["x_validation"], rows["y_validation"]


def build(family: str, values: Mapping[str, Any], shape: tuple[int, ...], classes: int) -> keras.Model:
    """Return a compiled classifier."""
    layers, decay = keras.layers, keras.regularizers.L2(values["l2"])
    model = keras.Sequential([keras.Input(shape)])
    for _ in range(values["depth"]):
        if family == "mlp":
            model.add(layers.Dense(values["units"], activation=values["activation"], kernel_regularizer=decay))
        else:
            model.add(
                layers.Conv2D(
                    values["units"], 3, padding="same", activation=values["activation"], kernel_regularizer=decay
                )
            )
            model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(values["dropout"]))
    if family == "cnn":
        model.add(layers.Flatten())
    if classes == 2:
        model.add(layers.Dense(1, activation="sigmoid", kernel_regularizer=decay))
    else:
        model.add(layers.Dense(classes, activation="softmax", kernel_regularizer=decay))
    optimizer = keras.optimizers.get(values["optimizer"])
    optimizer.learning_rate = values["learning_rate"]
    loss = "binary_crossentropy" if classes == 2 else "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def note(folder: Path, score: float) -> None:
    """Append a finished trial: when, and its best validation loss."""
    with (folder / "scores.csv").open("a") as file:
        file.write(f"{time.time()},{score}\n")
