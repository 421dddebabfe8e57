"""Initial weights of the shipped families, drawn with NumPy from a trial's seed.

Keras's initializers use the random numbers of the framework, which differ between TensorFlow and JAX. A trial must
start with the same weights under every trainer. So the distributions are Keras's, and NumPy draws the numbers.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from pipelines.data.array_types import FloatArray

# Per initializer: scale, which fan divides it, and the distribution; see `keras.initializers.VarianceScaling`.
_VARIANCE_SCALING: Mapping[str, tuple[float, str, str]] = {
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "glorot_normal": (1.0, "fan_avg", "truncated_normal"),
    "he_uniform": (2.0, "fan_in", "uniform"),
    "he_normal": (2.0, "fan_in", "truncated_normal"),
    "lecun_uniform": (1.0, "fan_in", "uniform"),
    "lecun_normal": (1.0, "fan_in", "truncated_normal"),
    "variance_scaling": (1.0, "fan_in", "truncated_normal"),
}
_STDDEV = 0.05  # default of Keras's random_normal, random_uniform and truncated_normal
_EMBEDDING_LIMIT = 0.05
_TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of a standard normal that is cut off at -2 and 2."""


def draw_kernel(initializer: str, shape: tuple[int, ...], seed: int, layer: str) -> FloatArray:
    """Return the initial kernel of a layer.

    Args:
        initializer: one of `catalogue.KERNEL_INITIALIZERS`.
        shape: [input, output], or [height, width, input, output] of a convolution.
        seed: seed of the training.
        layer: name of the layer; each name has a separate random stream, so no layer depends on another.
    """
    random = _make_generator(seed, layer)
    if initializer in _VARIANCE_SCALING:
        scale, mode, distribution = _VARIANCE_SCALING[initializer]
        variance = scale / max(1.0, _calculate_fan(mode, shape))
        if distribution == "uniform":
            # A uniform distribution from -a to a has the variance a^2 / 3.
            return _draw_uniform(random, math.sqrt(3.0 * variance), shape)
        # Cutting off narrows the distribution; Keras corrects it by the same division.
        return _draw_truncated_normal(random, math.sqrt(variance) / _TRUNCATED_STDDEV, shape)
    if initializer == "orthogonal":
        return _draw_orthogonal(random, shape)
    if initializer == "random_normal":
        return random.normal(0.0, _STDDEV, shape).astype(np.float32)
    if initializer == "random_uniform":
        return _draw_uniform(random, _STDDEV, shape)
    if initializer == "truncated_normal":
        return _draw_truncated_normal(random, _STDDEV, shape)
    return np.full(shape, {"zeros": 0.0, "ones": 1.0}[initializer], np.float32)


def draw_embedding(shape: tuple[int, int], seed: int, layer: str) -> FloatArray:
    """Return the initial table [code, width] of an embedding, distributed like Keras's default."""
    return _draw_uniform(_make_generator(seed, layer), _EMBEDDING_LIMIT, shape)


def set_initial_weights(model: Any, initializer: str, seed: int) -> None:
    """Set the initial weights of all kernels and embeddings of a family's Keras model.

    Weights that start otherwise keep their start: constants such as biases, what a layer's own initializer draws from
    Keras's seed, and weights inside other layers.
    """
    for layer in model.layers:
        if hasattr(layer, "embeddings"):
            layer.embeddings.assign(draw_embedding(tuple(layer.embeddings.shape), seed, layer.name))
        elif hasattr(layer, "kernel") and _has_usual_initializer(layer):
            layer.kernel.assign(draw_kernel(initializer, tuple(layer.kernel.shape), seed, layer.name))


def _has_usual_initializer(layer: Any) -> bool:
    """Return whether a layer's kernel starts as the trial's; one with arguments is the layer's own."""
    own = layer.kernel_initializer
    return bool(own.get_config() == type(own)().get_config())


def _make_generator(seed: int, layer: str) -> np.random.Generator:
    # crc32 and not hash(): Python salts the hash of a text per process.
    return np.random.default_rng([seed, zlib.crc32(layer.encode())])


def _calculate_fan(mode: str, shape: tuple[int, ...]) -> float:
    receptive = math.prod(shape[:-2])
    fan_in, fan_out = shape[-2] * receptive, shape[-1] * receptive
    return fan_in if mode == "fan_in" else (fan_in + fan_out) / 2.0


def _draw_uniform(random: np.random.Generator, limit: float, shape: tuple[int, ...]) -> FloatArray:
    return random.uniform(-limit, limit, shape).astype(np.float32)


def _draw_truncated_normal(random: np.random.Generator, stddev: float, shape: tuple[int, ...]) -> FloatArray:
    # The inverse of the distribution function: rejection would consume a varying number of draws.
    values: FloatArray = (stddev * ndtri(random.uniform(ndtr(-2.0), ndtr(2.0), shape))).astype(np.float32)
    return values


def _draw_orthogonal(random: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(random.normal(size=(max(rows, columns), min(rows, columns))))
    # The signs make the draws uniform over all orthogonal matrices; Keras does the same.
    q = q * np.sign(np.diag(r))
    values: FloatArray = (q.T if rows < columns else q).reshape(shape).astype(np.float32)
    return values
