"""Augmentation: images differ in training and not in inference, by what was declared."""

import keras
import numpy as np
import pytest

from pipelines.models.augmentation import build_augmentation

IMAGES = np.random.default_rng(3).uniform(size=(16, 12, 12, 1)).astype("float32")


@pytest.mark.parametrize(
    ("values", "layer", "settings"),
    [
        ({"flip": "horizontal"}, keras.layers.RandomFlip, {"mode": "horizontal"}),
        ({"flip": "vertical"}, keras.layers.RandomFlip, {"mode": "vertical"}),
        ({"flip": "both"}, keras.layers.RandomFlip, {"mode": "horizontal_and_vertical"}),
        ({"rotation": 0.1}, keras.layers.RandomRotation, {"factor": [-0.1, 0.1]}),
        (
            {"translation": 0.2},
            keras.layers.RandomTranslation,
            {"height_factor": [0.2], "width_factor": [0.2]},
        ),
        ({"zoom": 0.3}, keras.layers.RandomZoom, {"height_factor": [0.3]}),
    ],
)
def test_each_augmentation_acts_in_training_only(values, layer, settings, requests):
    """A declared augmentation is its Keras layer with that strength: images change in training, not in inference."""
    (built,) = build_augmentation(requests("cnn", **values))
    assert isinstance(built, layer)
    config = built.get_config()
    for setting, expected in settings.items():
        found = config[setting]
        assert (found if isinstance(found, str) else list(np.ravel(found))) == expected
    assert np.array_equal(built(IMAGES, training=False), IMAGES)
    assert not np.allclose(built(IMAGES, training=True), IMAGES)


def test_a_horizontal_flip_only_mirrors_left_and_right(requests):
    """Each image is itself or its mirror image."""
    (flip,) = build_augmentation(requests("cnn", flip="horizontal"))
    flipped = np.asarray(flip(IMAGES, training=True))
    for before, after in zip(IMAGES, flipped, strict=True):
        assert np.allclose(after, before) or np.allclose(after, before[:, ::-1])


def test_nothing_declared_means_no_layer(requests):
    """Strengths of 0 and a flip of `none` add nothing to the model."""
    assert build_augmentation(requests("cnn")) == []
