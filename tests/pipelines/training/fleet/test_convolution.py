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
from pipelines.training.fleet.convolution import convolve, halve

def own(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

def pool(x):
    window = (1, *(min(2, side) for side in x.shape[1:3]), 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")

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
    compare(f"halve {shape}", halve, pool, x)
compare("halve a row", halve, pool, random.normal(size=(2, 1, 5, 3)).astype("float32"))
compare("halve equal pixels", halve, pool, random.integers(0, 2, (3, 4, 6, 2)).astype("float32"))
"""


def test_values_and_gradients_are_those_of_xla():
    """For kernels of odd and even size, odd sides, sides of 1, and windows with equal pixels."""
    # In a process of its own, since this one has Keras on TensorFlow.
    done = subprocess.run([sys.executable, "-c", _COMPARE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
