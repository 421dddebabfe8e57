"""Layout of a trial's weights in its fleet's flat vector.

A fleet keeps the weights of one member as one vector: its optimizer then is one update, whatever the network's
shape. Each array in it has the envelope's shape; a narrower trial fills its upper left corner, as a layer of its
own width would be initialised, and the rest is zero and stays zero, because no gradient reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from pipelines.data.array_types import FloatArray
from pipelines.data.prepared import Features, Task
from pipelines.models.catalogue.encoders import calculate_embedding_width
from pipelines.models.initial_weights import draw_embedding, draw_kernel
from pipelines.training.fleet.envelope import Envelope
from pipelines.training.fleet.member import Member
from pipelines.training.fleet.model_arithmetic import count_parameters


@dataclass(frozen=True)
class _Place:
    """Place of one array in the vector."""

    start: int
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.start + math.prod(self.shape)


class Layout:
    """The arrays of an envelope's network, one after the other.

    Attributes:
        inputs: columns of the first layer's input: dense values, pixels, and each embedded column at the envelope's
            width.
        outputs: columns of the prediction.
        size: length of the vector.
    """

    def __init__(self, envelope: Envelope, features: Features, task: Task) -> None:
        self.envelope = envelope
        self.outputs = task.outputs
        self._features = features
        self._plain = features.dense + (math.prod(features.image) if features.image else 0)
        self._codes = tuple(count for _, count in features.codes)
        self._prediction = "prediction" if task.activation else "standardised_prediction"
        self.embeddings = tuple(
            max(envelope.embedding, calculate_embedding_width(count) if envelope.ruled else 0) for count in self._codes
        )
        self.inputs = self._plain + sum(self.embeddings)
        self.places: Mapping[str, _Place] = dict(self._list_places())
        self.size = max(place.end for place in self.places.values())

    def unflatten(self, flat: Any) -> dict[str, Any]:
        """Return the vector's arrays by name; works on NumPy's and on JAX's."""
        return {name: flat[place.start : place.end].reshape(place.shape) for name, place in self.places.items()}

    def flatten(self, tree: Mapping[str, Any]) -> Any:
        """Return arrays by name as one of JAX's vectors."""
        return jnp.concatenate([tree[name].reshape(-1) for name in self.places])

    def initialize(self, member: Member, seed: int) -> FloatArray:
        """Return the initial vector of a trial."""
        flat: FloatArray = np.zeros(self.size, np.float32)
        arrays = self.unflatten(flat)
        for column, (count, width) in enumerate(zip(self._codes, self._list_widths(member), strict=True), start=1):
            name = f"embedding_{column}"
            arrays[name][:, :width] = draw_embedding((count, width), seed, name)
        taken: Any = self._find_columns(member)
        for layer, units in enumerate(member.units, start=1):
            kernel = draw_kernel(member.initializer, (len(taken), units), seed, f"dense_{layer}")
            arrays[f"kernel_{layer}"][taken, :units] = kernel
            taken = np.arange(units)
            if self.envelope.normalized:
                arrays[f"gamma_{layer}"][:units] = 1.0
        kernel = draw_kernel(member.initializer, (len(taken), self.outputs), seed, self._prediction)
        arrays["kernel_out" if member.units else "kernel_linear"][taken] = kernel
        return flat

    def extract(self, member: Member, flat: FloatArray, moving: FloatArray) -> list[FloatArray]:
        """Return a trial's weights for `set_weights` of its stock Keras model.

        Args:
            member: the trial.
            flat: the member's vector.
            moving: batch normalisation's mean and variance [2, layer, unit].
        """
        arrays = self.unflatten(flat)
        found = [arrays[f"embedding_{n}"][:, :width] for n, width in enumerate(self._list_widths(member), start=1)]
        taken: Any = self._find_columns(member)
        for layer, units in enumerate(member.units, start=1):
            found.append(arrays[f"kernel_{layer}"][taken, :units])
            if member.use_bias:
                found.append(arrays[f"bias_{layer}"][:units])
            if member.normalized:
                found += [arrays[f"gamma_{layer}"][:units], arrays[f"beta_{layer}"][:units]]
                found += [moving[0, layer - 1, :units], moving[1, layer - 1, :units]]
            taken = np.arange(units)
        found += [arrays["kernel_out" if member.units else "kernel_linear"][taken], arrays["bias_out"]]
        # Copies: a slice would keep the whole vector in memory.
        return [np.array(array) for array in found]

    def count_parameters(self, member: Member) -> tuple[int, int]:
        """Return the number of weights of a trial's model: trainable ones, and all."""
        return count_parameters(member, self._features, self.outputs)

    def _list_places(self) -> Iterator[tuple[str, _Place]]:
        start = 0
        for name, shape in self._list_shapes():
            yield name, (place := _Place(start, shape))
            start = place.end

    def _list_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        width = self.envelope.width
        for column, (count, wide) in enumerate(zip(self._codes, self.embeddings, strict=True), start=1):
            yield f"embedding_{column}", (count, wide)
        for layer in range(1, self.envelope.depth + 1):
            yield f"kernel_{layer}", (self.inputs if layer == 1 else width, width)
            yield f"bias_{layer}", (width,)
            if self.envelope.normalized:
                yield f"gamma_{layer}", (width,)
                yield f"beta_{layer}", (width,)
        if self.envelope.depth:
            yield "kernel_out", (width, self.outputs)
        if self.envelope.linear:
            yield "kernel_linear", (self.inputs, self.outputs)
        yield "bias_out", (self.outputs,)

    def _list_widths(self, member: Member) -> list[int]:
        return [member.embedding or calculate_embedding_width(count) for count in self._codes]

    def _find_columns(self, member: Member) -> npt.NDArray[np.int_]:
        """Return the columns of the first layer's input that the trial has."""
        starts = self._plain + np.cumsum([0, *self.embeddings])[:-1].astype(int)
        embedded = [start + np.arange(width) for start, width in zip(starts, self._list_widths(member), strict=True)]
        return np.concatenate([np.arange(self._plain), *embedded]).astype(int)
