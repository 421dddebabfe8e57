"""Network of an envelope, in JAX, for one member: `jax.lax.map` applies it to a fleet.

Structure is expressed as numbers: units beyond a member's width are masked, a layer beyond its depth returns its
input, activations are chosen by a switch. Where members are trained one by one, layers and activations that a member
does not have cost it nothing. Activations and losses are Keras's.

The gradient of a branch is written here, as a function of what entered the branch. JAX's passes every intermediate
array of each branch through all of them, filled with zeros: a third of a step, and more of its compiling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras

from pipelines.data.prepared import Task
from pipelines.models.objectives import POSITIVE_LOSSES
from pipelines.training.fleet.convolution import convolve, halve, make_vector
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.fleet.image_sizes import list_image_sizes

Tree = Mapping[str, Any]

_ACROSS_UNITS = frozenset({"softmax", "log_softmax", "sparsemax"})
_FAR_BELOW = -1e9  # its exponential is 0; with -inf a softmax can be NaN
_MOMENTUM, _EPSILON = 0.99, 1e-3  # the defaults of `keras.layers.BatchNormalization`


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
class Network:
    """Forward pass of a member, from its weights and numbers.

    Attributes:
        image: height, width and channels of a row where layers are blocks of convolutions; None where they are dense.
    """

    envelope: Envelope
    image: tuple[int, ...] | None = None

    def __call__(
        self, tree: Tree, given: Tree, x: Any, codes: Any, moving: Any, batch: Batch | None
    ) -> tuple[Any, Any]:
        """Return the logits or, for a regression, standardised values [row, output], and the moving statistics.

        Args:
            tree: the member's weights by the layout's names.
            given: the member's numbers; see `make_numbers`.
            x: dense values and pixels [row, column].
            codes: embedded columns [row, column].
            moving: mean and variance of batch normalisation [2, layer, unit].
            batch: for a training step; None takes the moving statistics and drops nothing.
        """
        x = inputs = self._join_inputs(tree, x, codes)
        x = x if self.image is None else x.reshape(-1, *self.image)
        ends = []
        names = ("kernel", "bias", *(("gamma", "beta") if self.envelope.normalized else ()))
        for layer in range(1, self.envelope.depth + 1):
            own = {name: tree[f"{name}_{layer}"] for name in names}
            # The first layer changes the width, and both branches of a condition return the same shapes.
            run = _run_layer if layer <= max(1, self.envelope.least_depth) else _run_layer_if_any
            x, moving = run(_Layer(self.envelope, layer), own, x, (given, moving, batch))
            ends.append(x)
        if self.image is not None:
            x = self._choose_vector(given["depth"], ends, len(tree["kernel_out"]))
        out = x @ tree["kernel_out"] if self.envelope.depth else jnp.zeros(())
        if self.envelope.linear:
            out = jnp.where(given["depth"] > 0, out, inputs @ tree["kernel_linear"])
        return out + tree["bias_out"], moving

    def _join_inputs(self, tree: Tree, x: Any, codes: Any) -> Any:
        embedded = [tree[f"embedding_{column + 1}"][codes[:, column]] for column in range(codes.shape[1])]
        return jnp.concatenate([x, *embedded], axis=1) if embedded else x

    def _choose_vector(self, depth: Any, images: list[Any], width: int) -> Any:
        """Return the vectors [row, width] of a member's last block, from the images of all blocks."""
        least, chosen = self.envelope.least_depth, None
        for block, each in enumerate(images[least - 1 :], start=least):
            vector = make_vector(each, self.envelope.global_pooling)
            vector = jnp.pad(vector, ((0, 0), (0, width - vector.shape[1])))
            chosen = vector if chosen is None else jnp.where(depth >= block, vector, chosen)
        return chosen


@dataclass(frozen=True)
class _Layer:
    """A hidden layer or a block of a convolution, counted from 1, as two functions of its arrays by name.

    What goes with them is a member's numbers, the moving statistics, and the batch in training.
    """

    envelope: Envelope
    number: int

    def multiply(self, own: Tree, given: Tree, x: Any) -> Any:
        """Return the values before normalisation and activation [row, unit]; of a block [row, height, width, unit]."""
        product = convolve(x, own["kernel"]) if self.envelope.kernel_size else x @ own["kernel"]
        return product + given["use_bias"] * own["bias"]

    def finish(self, own: Tree, h: Any, beside: tuple[Tree, Any, Batch | None]) -> tuple[Any, Any]:
        """Return the layer's output [row, unit], or [row, height, width, unit], and the moving statistics."""
        given, moving, batch = beside
        at = self.number - 1
        if self.envelope.normalized:
            h, moving = self._normalize(own, h, beside)
        h = self._activate(given["activation"][at], given["units"][at], h)
        h = halve(h) if self.envelope.kernel_size else h
        if self.envelope.dropout and batch is not None:
            h = _drop(h, given["dropout"][at], self.number, batch)
        return h, moving

    def skip(self, x: Any) -> tuple[Any, Any]:
        """Return what stands for the output and for the values before activation where a member has no such layer."""
        if not self.envelope.kernel_size:
            return x, x
        size, width = list_image_sizes(x.shape[1:], 1)[-1], self.envelope.width
        return jnp.zeros((len(x), *size, width), x.dtype), jnp.zeros((*x.shape[:-1], width), x.dtype)

    def skip_gradient(self, x: Any, gradient: Any) -> Any:
        """Return the gradient of the input of a layer that a member does not have."""
        return jnp.zeros_like(x) if self.envelope.kernel_size else gradient

    def _activate(self, chosen: Any, units: Any, h: Any) -> Any:
        branches = tuple(_Activation(name) for name in self.envelope.activations)
        h = branches[0](units, h) if len(branches) == 1 else _switch_activation(branches, chosen, units, h)
        # After the activation: some are not 0 at 0, such as the sigmoid.
        return jnp.where(units, h, 0.0)

    def _normalize(self, own: Tree, h: Any, beside: tuple[Tree, Any, Batch | None]) -> tuple[Any, Any]:
        given, moving, batch = beside
        at = self.number - 1
        mean, variance = moving[0, at], moving[1, at]
        if batch is not None:
            # Empty places must count neither for the mean nor for the variance.
            axes = tuple(range(h.ndim - 1))
            rows = batch.rows.reshape(-1, *[1] * (h.ndim - 1))
            count = jnp.sum(batch.rows) * math.prod(h.shape[1:-1])
            mean = jnp.sum(h * rows, axis=axes) / count
            variance = jnp.sum(jnp.square(h - mean) * rows, axis=axes) / count
            seen = jnp.stack([mean, variance])
            moving = moving.at[:, at].set(_MOMENTUM * moving[:, at] + (1 - _MOMENTUM) * seen)
        scaled = (h - mean) * jax.lax.rsqrt(variance + _EPSILON) * own["gamma"] + own["beta"]
        return jnp.where(given["normalized"], scaled, h), moving


@dataclass(frozen=True)
class _Activation:
    """An activation of Keras."""

    name: str

    def __call__(self, units: Any, h: Any) -> Any:
        return keras.activations.get(self.name)(jnp.where(units, h, _FAR_BELOW) if self.name in _ACROSS_UNITS else h)

    def differentiate(self, units: Any, h: Any, gradient: Any) -> Any:
        """Return the gradient of its input."""
        return jax.vjp(partial(self, units), h)[1](gradient)[0]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _switch_activation(branches: tuple[_Activation, ...], chosen: Any, units: Any, h: Any) -> Any:
    return jax.lax.switch(chosen, branches, units, h)


def _switch_activation_forward(branches: tuple[_Activation, ...], *operands: Any) -> tuple[Any, Any]:
    return _switch_activation(branches, *operands), operands


def _switch_activation_backward(branches: tuple[_Activation, ...], operands: Any, gradient: Any) -> tuple[Any, ...]:
    chosen, units, h = operands
    return None, None, jax.lax.switch(chosen, [each.differentiate for each in branches], units, h, gradient)


_switch_activation.defvjp(_switch_activation_forward, _switch_activation_backward)


def _run_layer(layer: _Layer, own: Tree, x: Any, beside: tuple[Tree, Any, Batch | None]) -> tuple[Any, Any]:
    """Return a layer's output and the moving statistics."""
    return layer.finish(own, layer.multiply(own, beside[0], x), beside)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run_layer_if_any(layer: _Layer, own: Tree, x: Any, beside: tuple[Tree, Any, Batch | None]) -> tuple[Any, Any]:
    """Return the same, or the input where a member has no such layer."""
    return _run_layer_if_any_forward(layer, own, x, beside)[0]


def _run_layer_if_any_forward(layer: _Layer, own: Tree, x: Any, beside: Any) -> tuple[tuple[Any, Any], Any]:
    given, moving, _ = beside

    def run() -> tuple[Any, Any, Any]:
        h = layer.multiply(own, given, x)
        return *layer.finish(own, h, beside), h

    def skip() -> tuple[Any, Any, Any]:
        out, h = layer.skip(x)
        return out, moving, h

    out, moving, h = jax.lax.cond(layer.number <= given["depth"], run, skip)
    return (out, moving), (own, x, h, beside)


def _run_layer_if_any_backward(layer: _Layer, operands: Any, gradients: tuple[Any, Any]) -> tuple[Any, Any, None]:
    own, x, h, beside = operands
    given, gradient = beside[0], gradients[0]

    def run() -> tuple[Any, Any]:
        finished, of_h = jax.vjp(lambda own, h: layer.finish(own, h, beside)[0], own, h)[1](gradient)
        multiplied, of_x = jax.vjp(lambda own, x: layer.multiply(own, given, x), own, x)[1](of_h)
        return jax.tree.map(jnp.add, finished, multiplied), of_x

    def skip() -> tuple[Any, Any]:
        return jax.tree.map(jnp.zeros_like, own), layer.skip_gradient(x, gradient)

    return *jax.lax.cond(layer.number <= given["depth"], run, skip), None


_run_layer_if_any.defvjp(_run_layer_if_any_forward, _run_layer_if_any_backward)


def _drop(h: Any, rate: Any, layer: int, batch: Batch) -> Any:
    """Drop outputs, each by a number of its layer, row, pixel and unit alone, so that a wider fleet draws the same."""
    draw = partial(_draw_kept, h.shape, rate, layer, batch)
    # A branch, since XLA would draw anew for each of the patches that have a pixel: it makes a step twice as long.
    kept = draw() if h.ndim == 2 else jax.lax.cond(rate > 0.0, draw, lambda: jnp.ones(h.shape, bool))
    return jnp.where(kept, h / (1.0 - rate), 0.0)


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


def rescale_predictions(task: Task, loss: str, out: Any) -> Any:
    """Return a regression's predictions in the units of the target, as `layers.predict` does."""
    scale, mean = jnp.asarray(task.target_scale), jnp.asarray(task.target_mean)
    if loss not in POSITIVE_LOSSES:
        return out * scale + mean
    return jax.nn.softplus(out + mean / scale) * scale
