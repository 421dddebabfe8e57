"""KerasTuner's RandomSearch, as its documentation writes it; `HyperModel.fit` tunes the batch size. No MLflow."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner
import task


class Network(keras_tuner.HyperModel):
    """The network with its space."""

    def __init__(self, options: Any, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self._options, self._shape, self._classes = options, shape, classes

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return a compiled model."""
        family = self._options.family
        values = dict(task.FIXED[family])
        if self._options.space == "structure":
            values["depth"] = hp.Int("depth", 1, task.DEPTH[family])
            values["units"] = hp.Choice("units", task.UNITS[family])
            values["activation"] = hp.Choice("activation", task.ACTIVATIONS)
            values["optimizer"] = hp.Choice("optimizer", task.OPTIMIZERS)
        values["learning_rate"] = hp.Float("learning_rate", 3e-4, 3e-2, sampling="log")
        values["dropout"] = hp.Float("dropout", 0.0, 0.5)
        values["l2"] = hp.Float("l2", 1e-8, 1e-2, sampling="log")
        return task.build(family, values, self._shape, self._classes)

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Train."""
        searched = self._options.space == "structure"
        size = hp.Choice("batch_size", task.BATCH_SIZES) if searched else task.FIXED[self._options.family]["batch_size"]
        history = model.fit(*args, batch_size=size, **kwargs)
        task.note(self._options.to, min(history.history["val_loss"]))
        return history


def main() -> None:
    """Run the search."""
    options = task.options()
    x_train, y_train, x_validation, y_validation = task.load(options.data)
    tuner = keras_tuner.RandomSearch(
        Network(options, x_train.shape[1:], int(y_train.max()) + 1),
        objective="val_loss",
        max_trials=options.trials,
        seed=options.seed,
        directory=options.to,
        project_name="peer",
    )
    tuner.search(x_train, y_train, validation_data=(x_validation, y_validation), epochs=options.epochs, verbose=0)


if __name__ == "__main__":
    main()
