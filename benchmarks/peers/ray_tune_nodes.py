"""Ray Tune on a cluster that runs already: random search, one CPU a trial, a checkpoint after each epoch.

Options: ADDRESS DATA.npz TRIALS EPOCHS FOLDER. A trial whose node is lost is tried again, from its last checkpoint.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import ray
import task
from ray import tune


def train(config: dict[str, Any], data: str, epochs: int) -> None:
    """Train one trial, from its checkpoint where it has one."""
    import keras

    x_train, y_train, x_validation, y_validation = task.load(Path(data))
    done, checkpoint = 0, tune.get_checkpoint()
    if checkpoint is None:
        model = task.build("mlp", config, x_train.shape[1:], int(y_train.max()) + 1)
    else:
        with checkpoint.as_directory() as folder:
            model = keras.models.load_model(Path(folder) / "model.keras")
            done = int((Path(folder) / "epoch").read_text())
    for epoch in range(done, epochs):
        history = model.fit(
            x_train,
            y_train,
            validation_data=(x_validation, y_validation),
            batch_size=config["batch_size"],
            initial_epoch=epoch,
            epochs=epoch + 1,
            verbose=0,
        )
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "model.keras")
            (Path(folder) / "epoch").write_text(str(epoch + 1))
            tune.report({"val_loss": history.history["val_loss"][0]}, checkpoint=tune.Checkpoint(folder))


def main() -> None:
    """Run the tuner, and print the trials that it has finished."""
    address, data, trials, epochs, folder = sys.argv[1:]
    ray.init(address, log_to_driver=False)
    values = dict(task.FIXED["mlp"]) | {"dropout": 0.1, "l2": 1e-5, "learning_rate": tune.loguniform(3e-4, 3e-2)}
    trainable = tune.with_resources(tune.with_parameters(train, data=data, epochs=int(epochs)), {"cpu": 1})
    tuner = tune.Tuner(
        trainable,
        param_space=values,
        tune_config=tune.TuneConfig(metric="val_loss", mode="min", num_samples=int(trials), reuse_actors=True),
        run_config=tune.RunConfig(
            name="peer",
            storage_path=str(Path(folder).resolve() / "ray"),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=20),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        ),
    )
    results = tuner.fit()
    print("finished", sum(result.error is None for result in results))


if __name__ == "__main__":
    main()
