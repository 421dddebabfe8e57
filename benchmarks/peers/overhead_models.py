"""Models of the overhead benchmark, for the plain script and for kerastudy alike: 3 x 256, trained in three ways."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner
import tensorflow as tf

LAYERS, UNITS, RATE = 3, 256, 1e-3


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Return the compiled network."""
    return _compile(keras.Model(*_make_layers()), hp)


def build_own_step(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Return the network with a training step of its own."""
    return _compile(OwnStep(*_make_layers()), hp)


class OwnFit(keras_tuner.HyperModel):  # type: ignore[misc]  # keras_tuner has no types
    """The network with a `fit` of its own."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the compiled network."""
        return build(hp)

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Train it."""
        return model.fit(*args, **{**kwargs, "verbose": 0})


@keras.saving.register_keras_serializable("overhead")
class OwnStep(keras.Model):  # type: ignore[misc]  # keras has no types
    """Model whose training step is written out, as Keras's guides do."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on a batch."""
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


def _make_layers() -> tuple[Any, Any]:
    inputs = x = keras.Input((108,))
    for _ in range(LAYERS):
        x = keras.layers.Dense(UNITS, activation="relu")(x)
    return inputs, keras.layers.Dense(1, activation="sigmoid")(x)


def _compile(model: keras.Model, hp: keras_tuner.HyperParameters) -> keras.Model:
    rate = hp.Float("learning_rate", RATE / 2, RATE * 2, default=RATE)
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy"])
    return model
