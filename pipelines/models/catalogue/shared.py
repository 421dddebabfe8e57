"""Hyperparameters that families share: hidden layers, training, optimizer and schedule, image augmentation."""

from __future__ import annotations

from pipelines.models.hyperparameter import Hyperparameter
from pipelines.models.optimizer_catalogue import OPTIMIZER_PARAMETERS
from pipelines.models.schedule_catalogue import SCHEDULE_PARAMETERS

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

LAYERS: tuple[Hyperparameter, ...] = (
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
"""Hidden layers: activation, regularisation, normalisation."""

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

SHARED = (*_TRAINING, *OPTIMIZER_PARAMETERS, *SCHEDULE_PARAMETERS)
"""Training, the same for all families."""

AUGMENTATION: tuple[Hyperparameter, ...] = (
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
"""Random changes of training images."""
