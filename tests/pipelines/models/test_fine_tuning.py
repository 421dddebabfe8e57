"""Optimizers that leave some weights alone for a while."""

import keras
import numpy as np
import pytest

from pipelines.models.fine_tuning import make_fine_tuning
from pipelines.models.optimizers import OPTIMIZER_CLASSES

X, Y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")


def trained(name, frozen_steps, factor, steps, **arguments):
    """Return the distances that two layers move in some steps; the first one is slowed down."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, name="slow"), keras.layers.Dense(1, name="fast")]
    )
    optimizer = make_fine_tuning(OPTIMIZER_CLASSES[name])(learning_rate=0.01, **arguments)
    optimizer.slow_down(model.get_layer("slow").trainable_variables, frozen_steps, factor)
    model.compile(optimizer, "mse", run_eagerly=True)
    before = [layer.kernel.numpy() for layer in model.layers]
    for _ in range(steps):
        model.train_on_batch(X, Y)
    return [float(np.abs(layer.kernel.numpy() - old).sum()) for layer, old in zip(model.layers, before, strict=True)]


@pytest.mark.parametrize("name", OPTIMIZER_CLASSES)
def test_weights_wait_for_their_step(name):
    """Until then only the other layers move, under every optimizer and with weight decay."""
    slow, fast = trained(name, frozen_steps=2, factor=1.0, steps=2, weight_decay=0.1)
    assert slow == 0.0 < fast
    assert trained(name, frozen_steps=2, factor=1.0, steps=3)[0] > 0.0


def test_weights_then_learn_at_their_share_of_the_rate():
    """A factor of a tenth moves weights a tenth as far; none leaves them as they are."""
    (whole, _), (tenth, _), (none, _) = (trained("sgd", 0, factor, steps=1) for factor in (1.0, 0.1, 0.0))
    assert tenth == pytest.approx(whole / 10, rel=1e-3)
    assert none == 0.0


def test_a_copy_from_the_configuration_counts_the_same_variables():
    """Memory is estimated with a copy, which slows nothing down."""
    optimizer = make_fine_tuning(keras.optimizers.Adam)(0.1)
    copy = type(optimizer).from_config(optimizer.get_config())
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    copy.build(model.trainable_variables)
    assert len(copy.variables) == 6
