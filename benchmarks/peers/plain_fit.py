"""A training as a person writes it: `model.fit`, each epoch's metrics logged to MLflow, the model saved and logged.

Prints the seconds from the model's first line to its last, of the clock and of the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_tuner
import mlflow
import numpy as np
import overhead_models


class LogEpochs(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Callback that logs the metrics of each epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log them."""
        mlflow.log_metrics({name: float(value) for name, value in (logs or {}).items()}, step=epoch)


def main() -> None:
    """Train once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    mlflow.set_tracking_uri(f"sqlite:///{options.to}/mlflow.db")
    mlflow.set_experiment("plain")
    with np.load(options.data) as rows:
        x_train, y_train, x_validation, y_validation = (
            rows[name] for name in ("x_train", "y_train", "x_validation", "y_validation")
        )
    own = getattr(overhead_models, options.model)
    with mlflow.start_run():
        began, began_cpu = time.monotonic(), time.process_time()
        keras.utils.set_random_seed(0)
        hp = keras_tuner.HyperParameters()
        model = own().build(hp) if isinstance(own, type) else own(hp)
        mlflow.log_params({**hp.values, "batch_size": options.batch_size})
        fit = {"batch_size": options.batch_size, "epochs": options.epochs, "verbose": 0, "callbacks": [LogEpochs()]}
        data = {"validation_data": (x_validation, y_validation)}
        if isinstance(own, type):
            own().fit(hp, model, x_train, y_train, **data, **fit)
        else:
            model.fit(x_train, y_train, **data, **fit)
        model.save(options.to / "model.keras")
        mlflow.log_artifact(str(options.to / "model.keras"))
        seconds = {"clock_s": time.monotonic() - began, "cpu_s": time.process_time() - began_cpu}
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
