"""The `cnn` family."""

from __future__ import annotations

from dataclasses import replace

from pipelines.models.catalogue.encoders import DENSE_UNITS
from pipelines.models.catalogue.family import Family
from pipelines.models.catalogue.shared import AUGMENTATION, LAYERS, SHARED
from pipelines.models.hyperparameter import Hyperparameter

IMAGE_ENCODER: tuple[Hyperparameter, ...] = (
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
        "residual",
        "categorical",
        False,
        "Whether a block's input is added to what its convolutions make of it.",
        choices=(True, False),
    ),
    Hyperparameter(
        "separable",
        "categorical",
        False,
        "Whether convolutions are divided into one for each channel and one over the channels: far fewer weights.",
        choices=(True, False),
    ),
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
    *AUGMENTATION,
)
"""Convolutions on images, and augmentation."""

CNN = Family(
    name="cnn",
    parameters=(*IMAGE_ENCODER, replace(DENSE_UNITS, default=0), *LAYERS, *SHARED),
    prefers="image",
    takes=("image",),
    needs="image",
    default_space="cnn",
    doc="Blocks of convolutions on images, with augmentation.",
)
