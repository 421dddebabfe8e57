"""Ray Tune with its own Keras callback: random search, one CPU a trial, processes reused, a checkpoint at each end.

Records nothing in MLflow.
"""

from __future__ import annotations

from typing import Any

import ray
import task
from ray import tune


def train(config: dict[str, Any], options: Any) -> None:
    """Train one trial in a process of Ray's."""
    from ray.tune.integration.keras import TuneReportCheckpointCallback

    x_train, y_train, x_validation, y_validation = task.load(options.data)
    model = task.build(options.family, config, x_train.shape[1:], int(y_train.max()) + 1)
    history = model.fit(
        x_train,
        y_train,
        validation_data=(x_validation, y_validation),
        batch_size=config["batch_size"],
        epochs=options.epochs,
        verbose=0,
        callbacks=[TuneReportCheckpointCallback(checkpoint_on="train_end")],
    )
    task.note(options.to, min(history.history["val_loss"]))


def space(family: str, searched: str) -> dict[str, Any]:
    """Return the search space."""
    values: dict[str, Any] = dict(task.FIXED[family])
    if searched == "structure":
        values |= {
            "depth": tune.randint(1, task.DEPTH[family] + 1),
            "units": tune.choice(task.UNITS[family]),
            "activation": tune.choice(task.ACTIVATIONS),
            "optimizer": tune.choice(task.OPTIMIZERS),
            "batch_size": tune.choice(task.BATCH_SIZES),
        }
    return values | {
        "learning_rate": tune.loguniform(3e-4, 3e-2),
        "dropout": tune.uniform(0.0, 0.5),
        "l2": tune.loguniform(1e-8, 1e-2),
    }


def main() -> None:
    """Run the tuner."""
    options = task.options()
    ray.init(include_dashboard=False, log_to_driver=False)
    trainable = tune.with_resources(tune.with_parameters(train, options=options), {"cpu": 1})
    tuner = tune.Tuner(
        trainable,
        param_space=space(options.family, options.space),
        tune_config=tune.TuneConfig(metric="val_loss", mode="min", num_samples=options.trials, reuse_actors=True),
        run_config=tune.RunConfig(name="peer", storage_path=str(options.to / "ray"), verbose=0),
    )
    tuner.fit()


if __name__ == "__main__":
    main()
