"""Hypermodels in the style of KerasTuner's published guides, none of which uses kerastudy."""

import keras
import keras_tuner
import numpy as np
from keras import layers


def conditional_architecture(hp):
    """One of two architectures, each with hyperparameters of its own."""
    model = keras.Sequential()
    kind = hp.Choice("model_type", ["mlp", "cnn"])
    with hp.conditional_scope("model_type", ["mlp"]):
        if kind == "mlp":
            model.add(layers.Flatten())
            for index in range(hp.Int("dense_layers", 1, 2)):
                model.add(layers.Dense(hp.Int(f"units_{index}", 8, 32, step=8), activation="relu"))
    with hp.conditional_scope("model_type", ["cnn"]):
        if kind == "cnn":
            model.add(layers.Conv2D(hp.Int("filters", 4, 8), 3, activation="relu"))
            model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class TunedFit(keras_tuner.HyperModel):
    """Tunes the batch size, the epochs and how the data is prepared, in a `fit` of its own."""

    def build(self, hp):
        model = keras.Sequential([layers.Flatten(), layers.Dense(hp.Int("units", 8, 16)), layers.Dense(10, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, x, y, validation_data, **kwargs):
        if hp.Boolean("normalize"):
            mean, spread = np.mean(x), np.std(x)
            x, validation_data = (x - mean) / spread, ((validation_data[0] - mean) / spread, validation_data[1])
        return model.fit(
            x,
            y,
            validation_data=validation_data,
            batch_size=hp.Choice("batch_size", [16, 64]),
            epochs=hp.Int("epochs", 1, 2),
            **kwargs,
        )


class OwnLoop(keras_tuner.HyperModel):
    """Trains by a loop of its own and returns an objective of its own."""

    def build(self, hp):
        return keras.Sequential([layers.Flatten(), layers.Dense(hp.Int("units", 8, 16)), layers.Dense(10)])

    def fit(self, hp, model, x, y, validation_data, callbacks=None, **kwargs):
        import tensorflow as tf

        rows = tf.data.Dataset.from_tensor_slices((x, y)).batch(hp.Int("batch_size", 64, 256, step=64))
        optimizer = keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log"))
        loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        best = float("inf")
        for callback in callbacks:
            callback.set_model(model)
        for epoch in range(2):
            for some_x, some_y in rows:
                with tf.GradientTape() as tape:
                    loss = loss_of(some_y, model(some_x, training=True))
                gradients = tape.gradient(loss, model.trainable_variables)
                optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            error = float(loss_of(validation_data[1], model(validation_data[0])))
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs={"my_metric": error})
            best = min(best, error)
        return best


def refuses_some(hp):
    """Refuses what is too large, and fails on other values."""
    units = hp.Int("units", 8, 64, step=8)
    if units > 32:
        raise keras_tuner.errors.FailedTrialError(f"{units} units are too many")
    model = keras.Sequential([layers.Flatten(), layers.Dense(units), layers.Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
