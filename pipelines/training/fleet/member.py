"""Member of a fleet: the structure and the values of one trial, read from its hyperparameters.

Plain values and no framework, so that the supervisor can group trials, and explain why one cannot join a fleet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.models.catalogue import find_family
from pipelines.models.optimizer_catalogue import OPTIMIZERS
from search_spaces.values import Value

FAMILIES = ("mlp", "cnn")
"""The families whose structures are merged into one program."""

ELEMENTWISE_OPTIMIZERS = frozenset(
    {"sgd", "adam", "adamw", "adamax", "nadam", "lion", "rmsprop", "adagrad", "adadelta", "ftrl"}
)
"""Optimizers that treat each weight by itself, so that weights padded with zeros change nothing."""

_SIZES = {"mlp": ("depth", "units"), "cnn": ("blocks", "filters")}
"""Hyperparameters of each family: number of hidden layers, and their widths."""

_FLAGS = ("nesterov", "amsgrad", "centered")


@dataclass(frozen=True, order=True)
class OptimizerKind:
    """Part of an optimizer that is compiled into the program: its class and its boolean arguments."""

    name: str
    flags: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True)
class Member:
    """One trial in a fleet.

    Attributes:
        units, activations, dropout: of each hidden layer; filters, where layers are blocks of convolutions.
        embeddings: width of each embedded column; 0 = by the column's number of codes.
        arguments: the optimizer's numbers by the names of Keras's arguments.
        clip: one of `CLIPS`, or `none`.
        ema: momentum of the weights' moving average; None where it is off.
        kernel_sizes: side of the convolutions of each block; empty where layers are dense.
        convolutions: in each block.
        pooling, global_pooling: what ends a block, and the last block's image; empty where layers are dense.
        dense_units: of the dense layer behind the blocks; 0 = none.
    """

    values: Mapping[str, Value]
    units: tuple[int, ...]
    activations: tuple[str, ...]
    dropout: tuple[float, ...]
    use_bias: bool
    normalized: bool
    initializer: str
    l1: float
    l2: float
    label_smoothing: float
    embedding: int
    optimizer: OptimizerKind
    arguments: Mapping[str, float]
    clip: str
    clip_threshold: float
    ema: float | None
    batch_size: int
    epochs: int
    kernel_sizes: tuple[int, ...] = ()
    convolutions: int = 1
    pooling: str = ""
    global_pooling: str = ""
    dense_units: int = 0

    @property
    def family(self) -> str:
        """The model family."""
        return "cnn" if self.kernel_sizes else "mlp"

    @property
    def strided(self) -> int:
        """Number of the convolution in each block that halves its image; 0 = pooling does, or layers are dense."""
        return self.convolutions if self.pooling == "stride" else 0

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.units)

    @property
    def width(self) -> int:
        """Units of the widest hidden layer."""
        return max(self.units, default=1)


class _Values:
    """Values of a trial for each parameter that the family requests; the family's default where the trial has none."""

    def __init__(self, values: Mapping[str, Value], per_layer: frozenset[str], family: str) -> None:
        self._values = values
        self._per_layer = per_layer
        self._parameters = {parameter.name: parameter for parameter in find_family(family).parameters}

    def get(self, name: str, default: Value | None = None) -> Any:
        value = self._values.get(name)
        if value is None:
            return self._parameters[name].default if default is None else default
        return value

    def get_layers(self, name: str, layers: int) -> tuple[Any, ...]:
        if name not in self._per_layer:
            return (self.get(name),) * layers
        default = self._parameters[name].default
        found = (self._values.get(f"{name}_{layer}") for layer in range(1, layers + 1))
        return tuple(default if value is None else value for value in found)


def build_member(values: Mapping[str, Value], per_layer: frozenset[str], family: str = "mlp") -> Member:
    """Return the member of a trial of one of `FAMILIES`; see `TrialJob` for the arguments."""
    found = _Values(values, per_layer, family)
    depth_name, width_name = _SIZES[family]
    depth, has_image = int(found.get(depth_name)), family == "cnn"
    name = str(found.get("optimizer"))
    arguments = {argument: found.get(parameter, default) for parameter, (argument, default) in OPTIMIZERS[name].items()}
    flags = tuple((flag, bool(arguments[flag])) for flag in _FLAGS if flag in arguments)
    clip = str(found.get("clip"))
    return Member(
        values=dict(values),
        units=tuple(int(units) for units in found.get_layers(width_name, depth)),
        activations=found.get_layers("activation", depth),
        dropout=tuple(float(rate) for rate in found.get_layers("dropout", depth)),
        use_bias=bool(found.get("use_bias")),
        normalized=bool(found.get("batch_normalization")),
        initializer=str(found.get("kernel_initializer")),
        l1=float(found.get("l1")),
        l2=float(found.get("l2")),
        label_smoothing=float(found.get("label_smoothing")),
        embedding=0 if has_image else int(found.get("embedding_dim")),
        optimizer=OptimizerKind(name, flags),
        arguments={argument: float(arguments[argument]) for argument in list_number_arguments(name)},
        clip=clip,
        clip_threshold=float(found.get("clip_threshold")) if clip != "none" else 1.0,
        ema=float(found.get("ema_momentum")) if found.get("use_ema") else None,
        batch_size=int(found.get("batch_size")),
        epochs=int(found.get("epochs")),
        **(_read_blocks(found, depth) if has_image else {}),
    )


def _read_blocks(found: _Values, blocks: int) -> dict[str, Any]:
    """Return the fields of a member whose layers are blocks of convolutions."""
    return {
        "kernel_sizes": tuple(int(size) for size in found.get_layers("kernel_size", blocks)),
        "convolutions": int(found.get("convolutions_per_block")),
        "pooling": str(found.get("pooling")),
        "global_pooling": str(found.get("global_pooling")),
        "dense_units": int(found.get("dense_units")),
    }


def list_number_arguments(optimizer: str) -> tuple[str, ...]:
    """Return the arguments of a Keras optimizer that are numbers and differ within a fleet, but the learning rate."""
    names = (argument for argument, _ in OPTIMIZERS[optimizer].values())
    return tuple(name for name in names if name != "learning_rate" and name not in _FLAGS)
