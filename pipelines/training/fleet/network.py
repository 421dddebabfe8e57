"""Network of an envelope, in JAX, for one member: `jax.lax.map` applies it to a fleet.

Structure is expressed as numbers: units beyond a member's width are masked, a layer beyond its depth returns its
input, activations, sizes of kernels and ways of pooling are chosen by a switch. Where members are trained one by one,
layers and branches that a member does not have cost it nothing. Activations and losses are Keras's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from pipelines.data.prepared import Task
from pipelines.models.objectives import POSITIVE_LOSSES
from pipelines.training.fleet.convolution import make_vector
from pipelines.training.fleet.envelope import Envelope, HiddenLayer
from pipelines.training.fleet.layer import Batch, Layer, Tree, drop, pool


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
        inputs = self._join_inputs(tree, x, codes)
        hidden, moving = (self._run_dense if self.image is None else self._run_blocks)(
            tree, inputs, (given, moving, batch)
        )
        out = self._predict(tree, given, hidden, inputs)
        return out + tree["bias_out"], moving

    def _run_dense(self, tree: Tree, x: Any, beside: tuple[Tree, Any, Batch | None]) -> tuple[tuple[Any, ...], Any]:
        """Return what the prediction starts from, and the moving statistics."""
        for place in self.envelope.layers:
            # The first layer changes the width, and both branches of a condition return the same shapes.
            is_optional = place.block > max(1, self.envelope.least_depth)
            x, moving = self._run_layer(place, tree, x, beside, is_optional=is_optional)
            beside = (beside[0], moving, beside[2])
        return (x,), beside[1]

    def _run_blocks(self, tree: Tree, x: Any, beside: tuple[Tree, Any, Batch | None]) -> tuple[tuple[Any, ...], Any]:
        """Return the vector of the last block, what a dense layer makes of it if any, and the moving statistics."""
        assert self.image is not None
        given, moving, batch = beside
        envelope, ends = self.envelope, []
        x = x.reshape(-1, *self.image)
        for place in envelope.layers:
            if place.block == 0:
                continue
            is_optional = place.block > envelope.least_depth or place.position > envelope.least_convolutions
            x, moving = self._run_layer(place, tree, x, (given, moving, batch), is_optional=is_optional)
            if place.position == envelope.convolutions:
                x = drop(envelope, place, pool(envelope, place.block, x, given), given, batch)
                ends.append(x)
        vector = self._choose_vector(given, ends)
        if not envelope.dense:
            return (vector,), moving
        head, is_optional = envelope.layers[-1], envelope.least_dense == 0
        found, moving = self._run_layer(head, tree, vector, (given, moving, batch), is_optional=is_optional)
        return (vector, found), moving

    def _run_layer(
        self, place: HiddenLayer, tree: Tree, x: Any, beside: tuple[Tree, Any, Batch | None], *, is_optional: bool
    ) -> tuple[Any, Any]:
        names = ("kernel", "bias", *(("gamma", "beta") if self.envelope.normalized else ()))
        own = {name: tree[f"{name}_{place.name}"] for name in names}
        return Layer(self.envelope, place, is_optional).run(own, x, beside)

    def _predict(self, tree: Tree, given: Tree, hidden: tuple[Any, ...], inputs: Any) -> Any:
        """Return the prediction without its bias, from the last layer that the member has."""
        envelope = self.envelope
        if envelope.dense:
            out = hidden[1] @ tree["kernel_behind"]
            # Zeros times the weights of a member without such a layer are none of its prediction.
            return out if envelope.least_dense else jnp.where(given["exists"][-1], out, hidden[0] @ tree["kernel_out"])
        out = hidden[0] @ tree["kernel_out"] if envelope.depth else jnp.zeros(())
        return jnp.where(given["depth"] > 0, out, inputs @ tree["kernel_linear"]) if envelope.linear else out

    def _join_inputs(self, tree: Tree, x: Any, codes: Any) -> Any:
        embedded = [tree[f"embedding_{column + 1}"][codes[:, column]] for column in range(codes.shape[1])]
        return jnp.concatenate([x, *embedded], axis=1) if embedded else x

    def _choose_vector(self, given: Tree, images: list[Any]) -> Any:
        """Return the vectors [row, width] of a member's last block, from the images of all blocks."""
        assert self.image is not None
        least, width, chosen = self.envelope.least_depth, self.envelope.count_vector(self.image), None
        for block, each in enumerate(images[least - 1 :], start=least):
            for number, name in enumerate(self.envelope.global_poolings):
                vector = make_vector(each, name)
                vector = jnp.pad(vector, ((0, 0), (0, width - vector.shape[1])))
                is_own = (given["depth"] >= block) & (given["global_pooling"] == number)
                chosen = vector if chosen is None else jnp.where(is_own, vector, chosen)
        return chosen


def rescale_predictions(task: Task, loss: str, out: Any) -> Any:
    """Return a regression's predictions in the units of the target, as `layers.predict` does."""
    scale, mean = jnp.asarray(task.target_scale), jnp.asarray(task.target_mean)
    if loss not in POSITIVE_LOSSES:
        return out * scale + mean
    return jax.nn.softplus(out + mean / scale) * scale
