"""Gradient clips of a fleet beside Keras's."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipelines.models.optimizer_catalogue import CLIPS
from pipelines.training.fleet.optimizers import CLIP_BRANCHES, clip_gradients

GRADIENTS = {"kernel": np.array([[3.0, -4.0]], np.float32), "bias": np.array([0.5], np.float32)}


@pytest.mark.parametrize("threshold", [0.2, 2.0, 100.0])
@pytest.mark.parametrize("clip", CLIP_BRANCHES)
def test_gradients_are_clipped_as_by_keras(clip, threshold):
    """A step of plain descent from zero shows the gradient that Keras uses."""
    arguments = {} if clip == "none" else {CLIPS[clip]: threshold}
    optimizer = keras.optimizers.SGD(learning_rate=1.0, **arguments)
    weights = [keras.Variable(np.zeros_like(gradient)) for gradient in GRADIENTS.values()]
    optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in GRADIENTS.values()], weights)
    found = clip_gradients({"clip": CLIP_BRANCHES.index(clip), "clip_threshold": threshold}, GRADIENTS)
    for weight, gradient in zip(weights, found.values(), strict=True):
        np.testing.assert_allclose(-np.asarray(weight), np.asarray(gradient), rtol=1e-6)
