"""Convolution and pooling of a fleet's images, in JAX.

A convolution is a product of its patches and its kernel, and both gradients are products too. On a CPU XLA's own takes
several times as long within a loop (docs/performance.md). The gradient of pooling is written here:
JAX's scatters, where comparing does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp


def convolve(x: Any, kernel: Any, *, strided: bool = False) -> Any:
    """Return the convolution of images [row, height, width, channel], of the same size unless `strided`.

    Args:
        x: the images.
        kernel: [height, width, channel, filter]; its places beyond a border meet zeros, as Keras's `padding="same"`.
        strided: whether to move by two pixels; by one where a side is 1.
    """
    size = kernel.shape[0]
    strides = [min(2, side) if strided else 1 for side in x.shape[1:3]]
    height, width = (-(-side // stride) for side, stride in zip(x.shape[1:3], strides, strict=True))
    # As many zeros as the last window needs, the odd one behind: with a stride an even side has fewer in front.
    further = [
        max(0, (count - 1) * stride + size - side)
        for count, stride, side in zip((height, width), strides, x.shape[1:3], strict=True)
    ]
    padded = jnp.pad(x, ((0, 0), *[(many // 2, many - many // 2) for many in further], (0, 0)))
    end_high, end_wide = (height - 1) * strides[0] + 1, (width - 1) * strides[1] + 1
    shifted = [
        padded[:, i : i + end_high : strides[0], j : j + end_wide : strides[1]]
        for i in range(size)
        for j in range(size)
    ]
    patches = jnp.concatenate(shifted, axis=-1).reshape(len(x) * height * width, -1)
    return (patches @ kernel.reshape(-1, kernel.shape[-1])).reshape(len(x), height, width, -1)


def choose_center(kernel: Any, size: int) -> Any:
    """Return the kernel of a smaller size, whose middle is the same: the other weights get no gradient."""
    start = (kernel.shape[0] - 1) // 2 - (size - 1) // 2
    return kernel[start : start + size, start : start + size]


def halve_by_average(x: Any) -> Any:
    """Return images [row, height, width, channel] of half the size: the means of 2 x 2 pixels; a side of 1 stays."""
    return jnp.mean(_divide(x), axis=(2, 4))


@jax.custom_vjp
def halve_by_maximum(x: Any) -> Any:
    """Return images [row, height, width, channel] of half the size: the maxima of 2 x 2 pixels; a side of 1 stays."""
    return jnp.max(_divide(x), axis=(2, 4))


def _halve_forward(x: Any) -> tuple[Any, Any]:
    found = halve_by_maximum(x)
    return found, (x, found)


def _halve_backward(operands: tuple[Any, Any], gradient: Any) -> tuple[Any]:
    x, found = operands
    windows = _divide(x)
    parts, taken = [], jnp.zeros(found.shape, bool)
    for i in range(windows.shape[2]):
        for j in range(windows.shape[4]):
            # Of equal pixels the first one has the gradient, as in TensorFlow.
            is_first = (windows[:, :, i, :, j] == found) & ~taken
            taken |= is_first
            parts.append(jnp.where(is_first, gradient, 0.0))
    stacked = jnp.stack(parts).reshape(windows.shape[2], windows.shape[4], *found.shape)
    joined = stacked.transpose(2, 3, 0, 4, 1, 5).reshape(len(x), *_whole(x), x.shape[-1])
    rest = [(0, side - whole) for side, whole in zip(x.shape[1:3], _whole(x), strict=True)]
    return (jnp.pad(joined, ((0, 0), *rest, (0, 0))),)


halve_by_maximum.defvjp(_halve_forward, _halve_backward)


def make_vector(x: Any, global_pooling: str) -> Any:
    """Return the vectors [row, width] of images, by the family's hyperparameter `global_pooling`."""
    if global_pooling == "flatten":
        return x.reshape(len(x), -1)
    reduce = partial(jnp.mean if global_pooling == "average" else jnp.max, axis=(1, 2))
    return reduce(x)


def _divide(x: Any) -> Any:
    """Return the windows of images [row, height, pixel, width, pixel, channel]; of an odd side the last is left out."""
    height, width = _whole(x)
    high, wide = (min(2, side) for side in x.shape[1:3])
    cut = x[:, :height, :width]
    return cut.reshape(len(x), height // high, high, width // wide, wide, x.shape[-1])


def _whole(x: Any) -> tuple[int, int]:
    """Return the sides of images without what pooling leaves out."""
    height, width = (side - side % 2 if side > 1 else 1 for side in x.shape[1:3])
    return height, width
