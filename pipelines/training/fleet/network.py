"""Network of an envelope, in JAX, for one member: `jax.vmap` applies it to a fleet.

Structure is expressed as numbers: units beyond a member's width are masked, a layer beyond its depth returns its
input, activations are chosen by a switch. Where members are trained one by one, layers and activations that a member
does not have cost it nothing. Activations and losses are Keras's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras

from pipelines.data.prepared import Task
from pipelines.models.objectives import POSITIVE_LOSSES
from pipelines.training.fleet.envelope import Envelope

Tree = Mapping[str, Any]

_ACROSS_UNITS = frozenset({"softmax", "log_softmax", "sparsemax"})
_FAR_BELOW = -1e9  # its exponential is 0; with -inf a softmax can be NaN
_MOMENTUM, _EPSILON = 0.99, 1e-3  # the defaults of `keras.layers.BatchNormalization`


@dataclass(frozen=True)
class Network:
    """Forward pass of a member, from its weights and numbers."""

    envelope: Envelope

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
        if self.envelope.depth:
            # Outside of `cond`, whose branches must return the same shapes: the first layer changes the width.
            x, moving = self._layer(tree, given, 1, x, moving, batch)
        for layer in range(2, self.envelope.depth + 1):
            deeper = partial(self._layer, tree, given, layer, batch=batch)
            x, moving = jax.lax.cond(layer <= given["depth"], deeper, _pass_through, x, moving)
        out = x @ tree["kernel_out"] if self.envelope.depth else jnp.zeros(())
        if self.envelope.linear:
            out = jnp.where(given["depth"] > 0, out, inputs @ tree["kernel_linear"])
        return out + tree["bias_out"], moving

    def _layer(self, tree: Tree, given: Tree, layer: int, x: Any, moving: Any, batch: Batch | None) -> tuple[Any, Any]:
        """Return a hidden layer's output [row, unit] and the moving statistics; `layer` is counted from 1."""
        at = layer - 1
        h = x @ tree[f"kernel_{layer}"] + given["use_bias"] * tree[f"bias_{layer}"]
        if self.envelope.normalized:
            h, moving = self._normalize(tree, given, layer, h, moving, batch)
        h = self._activate(given["activation"][at], given["units"][at], h)
        if self.envelope.dropout and batch is not None:
            h = _drop(h, given["dropout"][at], layer, batch)
        return h, moving

    def _join_inputs(self, tree: Tree, x: Any, codes: Any) -> Any:
        embedded = [tree[f"embedding_{column + 1}"][codes[:, column]] for column in range(codes.shape[1])]
        return jnp.concatenate([x, *embedded], axis=1) if embedded else x

    def _activate(self, chosen: Any, units: Any, h: Any) -> Any:
        branches = [_select_activation(name, units) for name in self.envelope.activations]
        h = branches[0](h) if len(branches) == 1 else jax.lax.switch(chosen, branches, h)
        # After the activation: some are not 0 at 0, such as the sigmoid.
        return jnp.where(units, h, 0.0)

    def _normalize(
        self, tree: Tree, given: Tree, layer: int, h: Any, moving: Any, batch: Batch | None
    ) -> tuple[Any, Any]:
        mean, variance = moving[0, layer - 1], moving[1, layer - 1]
        if batch is not None:
            # Empty places must count neither for the mean nor for the variance.
            rows = batch.rows[:, None]
            count = jnp.sum(batch.rows)
            mean = jnp.sum(h * rows, axis=0) / count
            variance = jnp.sum(jnp.square(h - mean) * rows, axis=0) / count
            seen = jnp.stack([mean, variance])
            moving = moving.at[:, layer - 1].set(_MOMENTUM * moving[:, layer - 1] + (1 - _MOMENTUM) * seen)
        scaled = (h - mean) * jax.lax.rsqrt(variance + _EPSILON) * tree[f"gamma_{layer}"] + tree[f"beta_{layer}"]
        return jnp.where(given["normalized"], scaled, h), moving


@dataclass(frozen=True)
class Batch:
    """One training step's rows.

    Attributes:
        rows: 1 for a row, 0 for an empty place [row].
        first: the first row's place in its batch.
        key: seed of the batch's random numbers [number].
    """

    rows: Any
    first: Any
    key: Any


def _pass_through(x: Any, moving: Any) -> tuple[Any, Any]:
    return x, moving


def _select_activation(name: str, units: Any) -> Any:
    function = keras.activations.get(name)
    if name in _ACROSS_UNITS:
        return lambda h: function(jnp.where(units, h, _FAR_BELOW))
    return function


def _drop(h: Any, rate: Any, layer: int, batch: Batch) -> Any:
    """Drop outputs, each by a number of its layer, row and unit alone, so that a wider fleet draws the same."""
    rows = batch.first.astype("uint32") + jnp.arange(h.shape[0], dtype="uint32")
    places = (rows[:, None] << 16) | jnp.arange(h.shape[1], dtype="uint32")
    drawn = _hash(places, *(batch.key[at] for at in range(len(batch.key))), layer)
    # 24 bits: float32 holds no more, and rounding up could give 1.
    uniform = (drawn >> 8).astype("float32") * 2.0**-24
    return jnp.where(uniform >= rate, h / (1.0 - rate), 0.0)


def _hash(places: Any, *keys: Any) -> Any:
    """Return 32 random bits for each place.

    The mixing is `lowbias32` of https://nullprogram.com/blog/2018/07/31/, whose bias is measured there. JAX's own
    generator takes a third of a training step of a narrow network and as much of its compiling; its strength is needed
    for numbers that must not be guessed.
    """
    key = jnp.uint32(0)
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
