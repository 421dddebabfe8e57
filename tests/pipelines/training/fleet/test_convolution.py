"""Convolution and pooling of a fleet's images, beside XLA's own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("jax")

_COMPARE = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jax import lax
from pipelines.training.fleet.convolution import choose_center, convolve, halve_by_average, halve_by_maximum

def own(x, kernel, strides=(1, 1)):
    return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

def pool(x):
    window = (1, *(min(2, side) for side in x.shape[1:3]), 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")

def mean(x):
    window = (1, *(min(2, side) for side in x.shape[1:3]), 1)
    return lax.reduce_window(x, 0.0, lax.add, window, window, "VALID") / (window[1] * window[2])

def strided(x, kernel):
    return convolve(x, kernel, strided=True)

def own_strided(x, kernel):
    return own(x, kernel, tuple(min(2, side) for side in x.shape[1:3]))

def compare(name, one, other, *operands):
    weights = np.random.default_rng(1).normal(size=jax.eval_shape(one, *operands).shape).astype("float32")
    def total(function):
        return lambda *operands: jnp.sum(function(*operands) * weights)
    places = tuple(range(len(operands)))
    found, expected = (jax.jit(jax.value_and_grad(total(each), places))(*operands) for each in (one, other))
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-4, 1e-4, err_msg=name)

random = np.random.default_rng(0)
for shape, size in (((3, 7, 6, 2), 3), ((2, 5, 4, 1), 4), ((2, 2, 3, 3), 5), ((2, 4, 4, 2), 1)):
    x, kernel = (random.normal(size=each).astype("float32") for each in (shape, (size, size, shape[-1], 4)))
    compare(f"convolve {shape} {size}", convolve, own, x, kernel)
    compare(f"strided {shape} {size}", strided, own_strided, x, kernel)
    compare(f"halve {shape}", halve_by_maximum, pool, x)
    compare(f"average {shape}", halve_by_average, mean, x)
row = random.normal(size=(2, 1, 5, 3)).astype("float32")
compare("halve a row", halve_by_maximum, pool, row)
compare("strided row", strided, own_strided, row, random.normal(size=(3, 3, 3, 2)).astype("float32"))
compare("halve equal pixels", halve_by_maximum, pool, random.integers(0, 2, (3, 4, 6, 2)).astype("float32"))
for large, small in ((5, 3), (4, 3), (5, 4), (3, 3)):
    x, kernel = (random.normal(size=each).astype("float32") for each in ((2, 5, 6, 2), (small, small, 2, 3)))
    start = (large - 1) // 2 - (small - 1) // 2
    whole = np.zeros((large, large, 2, 3), "float32")
    whole[start : start + small, start : start + small] = kernel
    np.testing.assert_allclose(choose_center(whole, small), kernel)
    np.testing.assert_allclose(own(x, whole), own(x, kernel), 1e-4, 1e-4)
"""


def test_values_and_gradients_are_those_of_xla():
    """For kernels of odd and even size, odd sides, sides of 1, and windows with equal pixels."""
    # In a process of its own, since this one has Keras on TensorFlow.
    done = subprocess.run([sys.executable, "-c", _COMPARE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
