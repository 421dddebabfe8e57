"""Initial weights: NumPy's draws from Keras's distributions."""

import numpy as np
import pytest

from pipelines.models.catalogue import KERNEL_INITIALIZERS
from pipelines.models.initial_weights import draw_embedding, draw_kernel


@pytest.mark.parametrize("initializer", KERNEL_INITIALIZERS)
def test_draws_have_the_spread_of_kerass_initializer(initializer):
    """Mean and standard deviation of a large kernel equal those of Keras's initializer."""
    import keras

    shape = (3, 3, 40, 60)
    ours = draw_kernel(initializer, shape, 5, "layer")
    keras.utils.set_random_seed(5)
    theirs = np.asarray(keras.initializers.get(initializer)(shape))
    assert (ours.shape, ours.dtype) == (shape, np.float32)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.002)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.03, abs=1e-7)


def test_each_layer_has_a_separate_stream():
    """The same seed and layer give the same weights; another layer or seed gives others."""
    first = draw_embedding((9, 4), 1, "a")
    assert np.array_equal(first, draw_embedding((9, 4), 1, "a"))
    assert not np.array_equal(first, draw_embedding((9, 4), 1, "b"))
    assert not np.array_equal(first, draw_embedding((9, 4), 2, "a"))
    assert np.abs(first).max() <= 0.05
