"""Image augmentation as Keras layers: part of the model, active in training only."""

from __future__ import annotations

import keras

from pipelines.models.hyperparameter_requests import HyperparameterRequests

_FLIPS = {"horizontal": "horizontal", "vertical": "vertical", "both": "horizontal_and_vertical"}


def build_augmentation(requests: HyperparameterRequests) -> list[keras.layers.Layer]:
    """Return the layers that the trial turns on, in the order flip, rotation, translation, zoom."""
    flip, rotation = requests.get_value("flip"), requests.get_value("rotation")
    translation, zoom = requests.get_value("translation"), requests.get_value("zoom")
    layers = []
    if flip != "none":
        layers.append(keras.layers.RandomFlip(_FLIPS[flip], name="flip"))
    if rotation > 0:
        layers.append(keras.layers.RandomRotation(rotation, name="rotation"))
    if translation > 0:
        layers.append(keras.layers.RandomTranslation(translation, translation, name="translation"))
    if zoom > 0:
        layers.append(keras.layers.RandomZoom(zoom, name="zoom"))
    return layers
