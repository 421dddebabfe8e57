"""Hidden layer of a fleet's network, in JAX: a dense one or a convolution, for members that have it and for others.

The gradient of a branch is written here, as a function of what entered the branch. JAX's passes every intermediate
array of each branch through all of them, filled with zeros: a third of a step, and more of its compiling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras

from pipelines.training.fleet.convolution import choose_center, convolve, halve_by_average, halve_by_maximum
from pipelines.training.fleet.envelope import Envelope, HiddenLayer

Tree = Mapping[str, Any]

_ACROSS_UNITS = frozenset({"softmax", "log_softmax", "sparsemax"})
_FAR_BELOW = -1e9  # its exponential is 0; with -inf a softmax can be NaN
_MOMENTUM, _EPSILON = 0.99, 1e-3  # the defaults of `keras.layers.BatchNormalization`
_HALVINGS: Mapping[str, Callable[[Any], Any]] = {"max": halve_by_maximum, "average": halve_by_average}


class Batch(NamedTuple):
    """One training step's rows.

    Attributes:
        rows: 1 for a row, 0 for an empty place [row].
        first: the first row's place in its batch.
        key: seed of the batch's random numbers [number].
    """

    rows: Any
    first: Any
    key: Any


@dataclass(frozen=True)
class Layer:
    """A hidden layer as two functions of its arrays by name.

    What goes with them is a member's numbers, the moving statistics, and the batch in training.

    Attributes:
        is_optional: whether there are members without it.
    """

    envelope: Envelope
    place: HiddenLayer
    is_optional: bool

    def run(self, own: Tree, x: Any, beside: tuple[Tree, Any, Batch | None]) -> tuple[Any, Any]:
        """Return its output and the moving statistics; where a member has no such layer, its input or zeros."""
        if self.is_optional:
            found: tuple[Any, Any] = _run_if_any(self, own, x, beside)
            return found
        return self.finish(own, self.multiply(own, beside[0], x), beside)

    def multiply(self, own: Tree, given: Tree, x: Any) -> Any:
        """Return the values before normalisation and activation [row, unit]; of a block [row, height, width, unit]."""
        if x.ndim == 2:
            return x @ own["kernel"] + given["use_bias"] * own["bias"]
        is_strided = self.envelope.strided == self.place.position
        branches = tuple(_Convolution(size, is_strided) for size in self.envelope.kernel_sizes)
        product = _switch(branches, given["kernel_size"][self.place.index], (), (x, own["kernel"]))
        return product + given["use_bias"] * own["bias"]

    def finish(self, own: Tree, h: Any, beside: tuple[Tree, Any, Batch | None]) -> tuple[Any, Any]:
        """Return the activations and the moving statistics; dropout of a block comes after its pooling."""
        given, moving, batch = beside
        if self.envelope.normalized:
            h, moving = self._normalize(own, h, beside)
        units = given["units"][self.place.index, : self.place.width]
        branches = tuple(_Activation(name) for name in self.envelope.activations)
        h = _switch(branches, given["activation"][self.place.index], units, (h,))
        # After the activation: some are not 0 at 0, such as the sigmoid.
        h = jnp.where(units, h, 0.0)
        return (drop(self.envelope, self.place, h, given, batch) if h.ndim == 2 else h), moving

    def skip(self, x: Any) -> tuple[Any, Any]:
        """Return what stands for the output and for the values before activation where a member has no such layer."""
        return (x, x) if self._keeps_shape(x) else (jnp.zeros(self._find_shape(x), x.dtype),) * 2

    def skip_gradient(self, x: Any, gradient: Any) -> Any:
        """Return the gradient of the input of a layer that a member does not have."""
        return gradient if self._keeps_shape(x) else jnp.zeros_like(x)

    def _keeps_shape(self, x: Any) -> bool:
        return bool(x.shape == self._find_shape(x))

    def _find_shape(self, x: Any) -> tuple[int, ...]:
        """Return the shape of its output."""
        sides = x.shape[1:-1]
        if self.envelope.strided == self.place.position:
            sides = tuple(-(-side // 2) for side in sides)
        return (len(x), *sides, self.place.width)

    def _normalize(self, own: Tree, h: Any, beside: tuple[Tree, Any, Batch | None]) -> tuple[Any, Any]:
        given, moving, batch = beside
        at, width = self.place.index, self.place.width
        mean, variance = moving[0, at, :width], moving[1, at, :width]
        if batch is not None:
            # Empty places must count neither for the mean nor for the variance.
            axes = tuple(range(h.ndim - 1))
            rows = batch.rows.reshape(-1, *[1] * (h.ndim - 1))
            count = jnp.sum(batch.rows) * math.prod(h.shape[1:-1])
            mean = jnp.sum(h * rows, axis=axes) / count
            variance = jnp.sum(jnp.square(h - mean) * rows, axis=axes) / count
            seen = jnp.stack([mean, variance])
            moving = moving.at[:, at, :width].set(_MOMENTUM * moving[:, at, :width] + (1 - _MOMENTUM) * seen)
        scaled = (h - mean) * jax.lax.rsqrt(variance + _EPSILON) * own["gamma"] + own["beta"]
        return jnp.where(given["normalized"], scaled, h), moving


def pool(envelope: Envelope, block: int, x: Any, given: Tree) -> Any:
    """Return a block's images of half the size, where pooling halves them; of a block that a member lacks, zeros."""
    if envelope.strided:
        return x
    branches = [_Pooling(name) for name in envelope.poolings]
    if block <= envelope.least_depth:
        return _switch(tuple(branches), given["pooling"], (), (x,))
    chosen = jnp.where(block <= given["depth"], given["pooling"], len(branches))
    return _switch((*branches, _Pooling("")), chosen, (), (x,))


def drop(envelope: Envelope, place: HiddenLayer, h: Any, given: Tree, batch: Batch | None) -> Any:
    """Drop outputs in training, each by a number of its layer, row, pixel and unit: a wider fleet draws the same."""
    if not envelope.dropout or batch is None:
        return h
    rate = given["dropout"][place.index]
    draw = partial(_draw_kept, h.shape, rate, place.block, batch)
    # A branch, since XLA would draw anew for each of the patches that have a pixel: it makes a step twice as long.
    kept = draw() if h.ndim == 2 else jax.lax.cond(rate > 0.0, draw, lambda: jnp.ones(h.shape, bool))
    return jnp.where(kept, h / (1.0 - rate), 0.0)


@dataclass(frozen=True)
class _Convolution:
    """A convolution with kernels of one size, in the middle of larger ones."""

    size: int
    is_strided: bool

    def __call__(self, _: Any, x: Any, kernel: Any) -> Any:
        return convolve(x, choose_center(kernel, self.size), strided=self.is_strided)


@dataclass(frozen=True)
class _Activation:
    """An activation of Keras."""

    name: str

    def __call__(self, units: Any, h: Any) -> Any:
        return keras.activations.get(self.name)(jnp.where(units, h, _FAR_BELOW) if self.name in _ACROSS_UNITS else h)


@dataclass(frozen=True)
class _Pooling:
    """A way to halve images; without a name, zeros of that size."""

    name: str

    def __call__(self, _: Any, x: Any) -> Any:
        if self.name:
            return _HALVINGS[self.name](x)
        return jnp.zeros((len(x), *(max(1, side // 2) for side in x.shape[1:3]), x.shape[-1]), x.dtype)


Branches = tuple[_Activation, ...] | tuple[_Convolution, ...] | tuple[_Pooling, ...]


def _switch(branches: Branches, chosen: Any, fixed: Any, operands: tuple[Any, ...]) -> Any:
    """Return what one of some functions makes of operands, and of a mask without a gradient."""
    if len(branches) == 1:
        return branches[0](fixed, *operands)
    return _switch_branch(branches, chosen, fixed, operands)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _switch_branch(branches: Branches, chosen: Any, fixed: Any, operands: tuple[Any, ...]) -> Any:
    return jax.lax.switch(chosen, branches, fixed, *operands)


def _switch_forward(branches: Branches, *given: Any) -> tuple[Any, Any]:
    return _switch_branch(branches, *given), given


def _switch_backward(branches: Branches, given: Any, gradient: Any) -> tuple[Any, ...]:
    chosen, fixed, operands = given
    differentiated = [partial(_differentiate, branch) for branch in branches]
    return None, None, jax.lax.switch(chosen, differentiated, fixed, operands, gradient)


def _differentiate(branch: Callable[..., Any], fixed: Any, operands: tuple[Any, ...], gradient: Any) -> Any:
    """Return the gradients of a branch's operands."""
    return jax.vjp(partial(branch, fixed), *operands)[1](gradient)


_switch_branch.defvjp(_switch_forward, _switch_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run_if_any(layer: Layer, own: Tree, x: Any, beside: tuple[Tree, Any, Batch | None]) -> tuple[Any, Any]:
    return _run_if_any_forward(layer, own, x, beside)[0]


def _run_if_any_forward(layer: Layer, own: Tree, x: Any, beside: Any) -> tuple[tuple[Any, Any], Any]:
    given, moving, _ = beside

    def run() -> tuple[Any, Any, Any]:
        h = layer.multiply(own, given, x)
        return *layer.finish(own, h, beside), h

    def skip() -> tuple[Any, Any, Any]:
        out, h = layer.skip(x)
        return out, moving, h

    out, moving, h = jax.lax.cond(given["exists"][layer.place.index], run, skip)
    return (out, moving), (own, x, h, beside)


def _run_if_any_backward(layer: Layer, operands: Any, gradients: tuple[Any, Any]) -> tuple[Any, Any, None]:
    own, x, h, beside = operands
    given, gradient = beside[0], gradients[0]

    def run() -> tuple[Any, Any]:
        finished, of_h = jax.vjp(lambda own, h: layer.finish(own, h, beside)[0], own, h)[1](gradient)
        multiplied, of_x = jax.vjp(lambda own, x: layer.multiply(own, given, x), own, x)[1](of_h)
        return jax.tree.map(jnp.add, finished, multiplied), of_x

    def skip() -> tuple[Any, Any]:
        return jax.tree.map(jnp.zeros_like, own), layer.skip_gradient(x, gradient)

    return *jax.lax.cond(given["exists"][layer.place.index], run, skip), None


_run_if_any.defvjp(_run_if_any_forward, _run_if_any_backward)


def _draw_kept(shape: tuple[int, ...], rate: Any, layer: int, batch: Batch) -> Any:
    """Return whether each output of a layer is kept [row, unit], or [row, height, width, unit]."""
    rows = batch.first.astype("uint32") + jnp.arange(shape[0], dtype="uint32")
    places = (rows.reshape(-1, *[1] * (len(shape) - 1)) << 16) | jnp.arange(shape[-1], dtype="uint32")
    pixels = [jnp.arange(math.prod(shape[1:-1]), dtype="uint32").reshape(*shape[1:-1], 1)] if len(shape) > 2 else []
    drawn = _hash(places, *(batch.key[at] for at in range(len(batch.key))), layer, *pixels)
    # 24 bits: float32 holds no more, and rounding up could give 1.
    uniform = (drawn >> 8).astype("float32") * 2.0**-24
    return uniform >= rate


def _hash(places: Any, *keys: Any) -> Any:
    """Return 32 random bits for each place.

    The mixing is `lowbias32` of https://nullprogram.com/blog/2018/07/31/, whose bias is measured there. JAX's own
    generator takes a third of a training step of a narrow network and as much of its compiling; its strength is needed
    for numbers that must not be guessed.
    """
    key: Any = jnp.uint32(0)
    for part in keys:
        # 0x9E3779B9 is 2^32 divided by the golden ratio: it keeps a key of zeros from staying zero.
        key = _mix(key + jnp.uint32(0x9E3779B9) ^ jnp.uint32(part))
    return _mix(_mix(places ^ key) + key)


def _mix(bits: Any) -> Any:
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
    return bits ^ (bits >> 16)
