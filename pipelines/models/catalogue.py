"""Catalogue of the model families shipped with kerastudy, with all hyperparameters of each.

Three parts of the code read it: the calls on `keras_tuner.HyperParameters`, the check that a space declares only
hyperparameters that the model requests, and the reference pages. It imports no Keras, so the supervisor can read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.models.hyperparameter import Hyperparameter
from pipelines.models.optimizer_catalogue import OPTIMIZER_PARAMETERS
from pipelines.models.schedule_catalogue import SCHEDULE_PARAMETERS
from search_spaces.errors import InputError, Problem, suggest_choice

ACTIVATIONS = (
    *("relu", "tanh", "sigmoid", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"),
    *("softsign", "softmax", "log_softmax", "sparsemax", "exponential", "linear", "relu6", "squareplus"),
    *("hard_sigmoid", "hard_silu", "hard_tanh", "hard_shrink", "soft_shrink", "tanh_shrink"),
    *("log_sigmoid", "sparse_plus", "sparse_sigmoid"),
)
"""Keras's activations, without `glu` (it halves the width), `threshold` (it has no defaults) and aliases."""

KERNEL_INITIALIZERS = (
    *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"),
    *("orthogonal", "variance_scaling", "random_normal", "random_uniform", "truncated_normal", "zeros", "ones"),
)
"""Keras's initializers that fit a kernel of any shape and need no argument."""

_LAYERS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "activation",
        "categorical",
        "relu",
        "Activation of the hidden layers.",
        choices=ACTIVATIONS,
        per_layer=True,
    ),
    Hyperparameter("use_bias", "categorical", True, "Whether hidden layers have a bias.", choices=(True, False)),
    Hyperparameter(
        "kernel_initializer",
        "categorical",
        "glorot_uniform",
        "Initial weights of all layers.",
        choices=KERNEL_INITIALIZERS,
    ),
    Hyperparameter(
        "batch_normalization",
        "categorical",
        False,
        "Batch normalisation between a hidden layer and its activation.",
        choices=(True, False),
    ),
    Hyperparameter(
        "dropout",
        "float",
        0.0,
        "Share of a hidden layer's outputs that is dropped in training; 0 = off.",
        low=0.0,
        high=0.5,
        per_layer=True,
        least=0.0,
        most=0.99,
    ),
    Hyperparameter("l1", "float", 0.0, "L1 strength on all kernels; with l2 both act.", low=0.0, high=0.01, least=0.0),
    Hyperparameter("l2", "float", 0.0, "L2 strength on all kernels; with l1 both act.", low=0.0, high=0.01, least=0.0),
)

_TRAINING: tuple[Hyperparameter, ...] = (
    Hyperparameter("batch_size", "int", 32, "Rows per step of the optimizer.", low=16, high=256, log=True, least=1),
    Hyperparameter("epochs", "int", 30, "Passes over the training rows, at most.", low=5, high=100, least=1),
    Hyperparameter(
        "label_smoothing",
        "float",
        0.0,
        "Share of each label that is spread over all classes (cross-entropy losses).",
        low=0.0,
        high=0.3,
        least=0.0,
        most=0.999,
    ),
)

_MLP: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "depth",
        "int",
        2,
        "Hidden layers; 0 is a linear or logistic regression.",
        low=0,
        high=4,
        least=0,
        most=100,
    ),
    Hyperparameter(
        "units",
        "int",
        64,
        "Width of the hidden layers.",
        low=16,
        high=256,
        log=True,
        per_layer=True,
        least=1,
        most=1_000_000,
    ),
    *_LAYERS,
    Hyperparameter(
        "embedding_dim",
        "int",
        0,
        "Width of each embedded column; 0 = by the column's number of codes n, round(1.6 n^0.56), at most 50.",
        low=0,
        high=32,
        least=0,
        most=10_000,
    ),
)

_CNN: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "blocks", "int", 2, "Blocks of convolutions, each ended by pooling.", low=1, high=4, least=1, most=50
    ),
    Hyperparameter(
        "filters",
        "int",
        32,
        "Filters of a block's convolutions.",
        low=8,
        high=128,
        log=True,
        per_layer=True,
        least=1,
        most=100_000,
    ),
    Hyperparameter(
        "kernel_size",
        "int",
        3,
        "Height and width of the convolutions.",
        low=1,
        high=7,
        step=2,
        per_layer=True,
        least=1,
        most=99,
    ),
    Hyperparameter("convolutions_per_block", "int", 1, "Convolutions in a block.", low=1, high=3, least=1, most=50),
    Hyperparameter(
        "pooling",
        "categorical",
        "max",
        "Method by which a block halves the image: pooling, or a stride of 2 in its last convolution. Sides of 1 stay.",
        choices=("max", "average", "stride"),
    ),
    Hyperparameter(
        "global_pooling",
        "categorical",
        "average",
        "Reduction of the last block's image to a vector.",
        choices=("average", "max", "flatten"),
    ),
    Hyperparameter(
        "dense_units",
        "int",
        0,
        "Width of a dense layer before the prediction; 0 = none.",
        low=0,
        high=256,
        least=0,
        most=1_000_000,
    ),
    *_LAYERS,
    Hyperparameter(
        "rotation",
        "float",
        0.0,
        "Augmentation: turn by up to this share of a full turn, both ways.",
        low=0.0,
        high=0.2,
        least=0.0,
        most=1.0,
    ),
    Hyperparameter(
        "translation",
        "float",
        0.0,
        "Augmentation: shift by up to this share of the height and of the width.",
        low=0.0,
        high=0.2,
        least=0.0,
        most=1.0,
    ),
    Hyperparameter(
        "zoom",
        "float",
        0.0,
        "Augmentation: scale by up to this share, in and out.",
        low=0.0,
        high=0.3,
        least=0.0,
        most=0.99,
    ),
    Hyperparameter(
        "flip",
        "categorical",
        "none",
        "Augmentation: mirror half of the images.",
        choices=("none", "horizontal", "vertical", "both"),
    ),
)

_SHARED = (*_TRAINING, *OPTIMIZER_PARAMETERS, *SCHEDULE_PARAMETERS)


@dataclass(frozen=True)
class Family:
    """A model family: its hyperparameters and the form of data that it is meant for.

    Attributes:
        prefers: form of features that the family is meant for.
        default_space: name of the shipped space for a study that declares no space.
    """

    name: str
    parameters: tuple[Hyperparameter, ...]
    prefers: Literal["dense", "image"]
    default_space: str
    doc: str

    def find(self, parameter_name: str) -> Hyperparameter | None:
        """Return the parameter of `units` or, if it may be declared per layer, of `units_3`; None if there is none."""
        by_name = {parameter.name: parameter for parameter in self.parameters}
        if parameter_name in by_name:
            return by_name[parameter_name]
        # Layers are counted from 1, and `units_01` is no layer.
        layered = re.fullmatch(r"(.+)_[1-9]\d*", parameter_name)
        found = by_name.get(layered[1]) if layered else None
        return found if found is not None and found.per_layer else None

    def has_parameter(self, parameter_name: str) -> bool:
        """Return whether the family can request a parameter of this name."""
        return self.find(parameter_name) is not None

    def find_per_layer(self, declared: Iterable[str]) -> frozenset[str]:
        """Return the parameters that a space with the names `declared` declares per layer (see `ModelContext`)."""
        found = {name: self.find(name) for name in declared}
        return frozenset(p.name for name, p in found.items() if p is not None and p.name != name)


FAMILIES: Mapping[str, Family] = {
    "mlp": Family(
        name="mlp",
        parameters=(*_MLP, *_SHARED),
        prefers="dense",
        default_space="mlp",
        doc="Dense layers on a table's columns or on a flattened image; linear regression at depth 0.",
    ),
    "cnn": Family(
        name="cnn",
        parameters=(*_CNN, *_SHARED),
        prefers="image",
        default_space="cnn",
        doc="Blocks of convolutions on images, with augmentation.",
    ),
}


def find_family(name: str) -> Family:
    """Return the shipped family called `name`.

    Raises:
        InputError: if there is none.
    """
    if name not in FAMILIES:
        hint = suggest_choice(name, FAMILIES)
        raise InputError(Problem(f'no model family is called "{name}"; {hint}, or "file.py:function"', "model"))
    return FAMILIES[name]
