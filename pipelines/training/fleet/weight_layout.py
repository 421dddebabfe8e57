"""Layout of a trial's weights in its fleet's flat vector.

A fleet keeps the weights of one member as one vector: its optimizer then is one update, whatever the network's
shape. While a large network trains, its kernels are vectors of their own, so that no step copies them. Each array has
the envelope's shape; a narrower trial fills its upper left corner, as a layer of its own width would be initialised,
and the rest is zero and stays zero, because no gradient reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from pipelines.data.array_types import FloatArray
from pipelines.data.prepared import Features, Task
from pipelines.models.catalogue.encoders import calculate_embedding_width
from pipelines.models.initial_weights import draw_embedding, draw_kernel
from pipelines.training.fleet.envelope import Envelope, HiddenLayer
from pipelines.training.fleet.image_sizes import count_vector
from pipelines.training.fleet.member import Member
from pipelines.training.fleet.model_arithmetic import count_parameters

_LARGE_NETWORK, _LARGE_KERNEL = 100_000, 8192
"""Weights of a network whose kernels are parts, and of such a kernel: below, compiling the steps of further parts takes
longer than copying."""


@dataclass(frozen=True)
class _Place:
    """Place of one array in the vector."""

    start: int
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.start + math.prod(self.shape)


@dataclass(frozen=True)
class Part:
    """Neighbouring arrays of the vector which one step of the optimizer updates.

    Attributes:
        kernels: number of its first weights that are of kernels: those that penalties apply to.
    """

    places: Mapping[str, _Place]
    kernels: int

    @property
    def start(self) -> int:
        """Place of its first weight."""
        return next(iter(self.places.values())).start

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(place.end - place.start for place in self.places.values())


class Layout:
    """The arrays of an envelope's network, one after the other.

    Attributes:
        inputs: columns of the first layer's input: dense values, pixels, and each embedded column at the envelope's
            width.
        outputs: columns of the prediction.
        size: length of the vector.
        kernels: number of its first weights that are of kernels: those that penalties apply to.
        parts: the parts in which it trains.
    """

    def __init__(self, envelope: Envelope, features: Features, task: Task) -> None:
        self.envelope = envelope
        self.outputs = task.outputs
        self._features = features
        self._image: tuple[int, ...] = features.image or ()
        self._plain = features.dense + (math.prod(features.image) if features.image else 0)
        self._codes = tuple(count for _, count in features.codes)
        self._prediction = "prediction" if task.activation else "standardised_prediction"
        self.embeddings = tuple(
            max(envelope.embedding, calculate_embedding_width(count) if envelope.ruled else 0) for count in self._codes
        )
        self.inputs = self._plain + sum(self.embeddings)
        self.places: Mapping[str, _Place] = dict(self._list_places())
        self.size = max(place.end for place in self.places.values())
        self.kernels = max(place.end for name, place in self.places.items() if name.startswith("kernel_"))
        self.parts = tuple(self._list_parts())

    def unflatten(self, flat: Any) -> dict[str, Any]:
        """Return the vector's arrays by name; works on NumPy's and on JAX's."""
        return {name: flat[place.start : place.end].reshape(place.shape) for name, place in self.places.items()}

    def divide(self, flat: Any) -> tuple[Any, ...]:
        """Return one of JAX's vectors in parts [weight]."""
        return tuple(flat[part.start : part.start + part.size] for part in self.parts)

    def unite(self, parts: Sequence[Any]) -> Any:
        """Return parts as one vector."""
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)

    def name_arrays(self, parts: Sequence[Any]) -> dict[str, Any]:
        """Return the arrays of parts by name."""
        return {
            name: values[place.start - part.start : place.end - part.start].reshape(place.shape)
            for part, values in zip(self.parts, parts, strict=True)
            for name, place in part.places.items()
        }

    def join_arrays(self, tree: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return arrays by name as parts."""
        flat = {name: tree[name].reshape(-1) for name in self.places}
        return tuple(
            jnp.concatenate([flat[name] for name in part.places])
            if len(part.places) > 1
            else flat[next(iter(part.places))]
            for part in self.parts
        )

    def initialize(self, member: Member, seed: int) -> FloatArray:
        """Return the initial vector of a trial."""
        flat: FloatArray = np.zeros(self.size, np.float32)
        arrays = self.unflatten(flat)
        for column, (count, width) in enumerate(zip(self._codes, self._list_widths(member), strict=True), start=1):
            name = f"embedding_{column}"
            arrays[name][:, :width] = draw_embedding((count, width), seed, name)
        for layer, units, window, taken in self._walk(member):
            sides = (window.stop - window.start,) * 2 if window else ()
            kernel = draw_kernel(member.initializer, (*sides, len(taken), units), seed, layer.stock_name)
            _choose_window(arrays[f"kernel_{layer.name}"], window)[..., taken, :units] = kernel
            if self.envelope.normalized:
                arrays[f"gamma_{layer.name}"][:units] = 1.0
        name, taken = self._find_prediction(member)
        arrays[name][taken] = draw_kernel(member.initializer, (len(taken), self.outputs), seed, self._prediction)
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
        for layer, units, window, taken in self._walk(member):
            found.append(_choose_window(arrays[f"kernel_{layer.name}"], window)[..., taken, :units])
            if member.use_bias:
                found.append(arrays[f"bias_{layer.name}"][:units])
            if member.normalized:
                found += [arrays[f"gamma_{layer.name}"][:units], arrays[f"beta_{layer.name}"][:units]]
                found += [moving[0, layer.index, :units], moving[1, layer.index, :units]]
        name, taken = self._find_prediction(member)
        found += [arrays[name][taken], arrays["bias_out"]]
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

    def _list_parts(self) -> Iterator[Part]:
        rest = dict(self.places)
        for name, place in self.places.items():
            size = place.end - place.start
            # The first ones, since the rest is one slice of the vector too.
            if self.size < _LARGE_NETWORK or not name.startswith("kernel_") or size < _LARGE_KERNEL:
                break
            del rest[name]
            yield Part({name: place}, size)
        yield Part(rest, max(0, self.kernels - next(iter(rest.values())).start))

    def _list_shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        envelope, layers = self.envelope, self.envelope.layers
        taken = self._image[-1] if envelope.has_blocks else self.inputs
        vector = envelope.count_vector(self._image) if envelope.has_blocks else envelope.width
        for layer in layers:
            window = (max(envelope.kernel_sizes),) * 2 if envelope.has_blocks and layer.block else ()
            yield f"kernel_{layer.name}", (*window, taken if layer.block else vector, layer.width)
            taken = layer.width
        if envelope.depth and not envelope.least_dense:
            yield "kernel_out", (vector, self.outputs)
        if envelope.dense:
            yield "kernel_behind", (envelope.dense, self.outputs)
        if envelope.linear:
            yield "kernel_linear", (self.inputs, self.outputs)
        for column, (count, wide) in enumerate(zip(self._codes, self.embeddings, strict=True), start=1):
            yield f"embedding_{column}", (count, wide)
        for layer in layers:
            yield f"bias_{layer.name}", (layer.width,)
            if envelope.normalized:
                yield f"gamma_{layer.name}", (layer.width,)
                yield f"beta_{layer.name}", (layer.width,)
        yield "bias_out", (self.outputs,)

    def _walk(self, member: Member) -> Iterator[tuple[HiddenLayer, int, slice | None, npt.NDArray[np.int_]]]:
        """Yield a trial's hidden layers: place, units, window within the kernel's, and inputs that the trial has."""
        has_blocks = self.envelope.has_blocks
        taken = np.arange(self._image[-1]) if has_blocks else self._find_columns(member)
        for layer in self.envelope.layers:
            if not (units := layer.count_units(member)):
                continue
            if layer.block == 0:
                yield layer, units, None, self._find_vector(member)
            else:
                yield layer, units, self._find_window(member, layer.block) if has_blocks else None, taken
            taken = np.arange(units)

    def _find_prediction(self, member: Member) -> tuple[str, npt.NDArray[np.int_]]:
        """Return the name of the prediction's kernel, and its inputs that the trial has."""
        if member.dense_units:
            return "kernel_behind", np.arange(member.dense_units)
        if not member.units:
            return "kernel_linear", self._find_columns(member)
        return "kernel_out", self._find_vector(member) if self.envelope.has_blocks else np.arange(member.units[-1])

    def _find_window(self, member: Member, block: int) -> slice:
        """Return the place of a trial's kernel in the middle of the largest; see `convolution.choose_center`."""
        size, most = member.kernel_sizes[block - 1], max(self.envelope.kernel_sizes)
        start = (most - 1) // 2 - (size - 1) // 2
        return slice(start, start + size)

    def _find_vector(self, member: Member) -> npt.NDArray[np.int_]:
        """Return the numbers of the vector behind the blocks that the trial has."""
        strided = self.envelope.strided > 0
        length = count_vector(self._image, member.depth, 1, member.global_pooling, strided=strided)
        # The filters of one pixel after those of the other.
        return (np.arange(length)[:, None] * self.envelope.width + np.arange(member.units[-1])).reshape(-1)

    def _list_widths(self, member: Member) -> list[int]:
        return [member.embedding or calculate_embedding_width(count) for count in self._codes]

    def _find_columns(self, member: Member) -> npt.NDArray[np.int_]:
        """Return the columns of the first layer's input that the trial has."""
        starts = self._plain + np.cumsum([0, *self.embeddings])[:-1].astype(int)
        embedded = [start + np.arange(width) for start, width in zip(starts, self._list_widths(member), strict=True)]
        return np.concatenate([np.arange(self._plain), *embedded]).astype(int)


def _choose_window(kernel: FloatArray, window: slice | None) -> FloatArray:
    return kernel if window is None else kernel[window, window]
